//! What the server counts of itself, beside what the database counts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use embedded_db_engine::common::metrics::Histogram;
use embedded_db_engine::{Families, FamilyKind, NANO};

use crate::document::Document;

/// Upper bounds of how long requests take, in nanoseconds. Few, for there are many routes.
const BOUNDS: &[u64] =
    &[100_000, 1_000_000, 5_000_000, 25_000_000, 100_000_000, 1_000_000_000, 10_000_000_000];

/// Counts of connections and requests.
pub(crate) struct Figures {
    /// By route; the last is for what is none.
    durations: Vec<Histogram>,
    /// By route and status.
    requests: Mutex<BTreeMap<(usize, u16), u64>>,
    pub(crate) connections: AtomicI64,
    pub(crate) streams: AtomicI64,
}

/// Raises a gauge for as long as it is there.
pub(crate) struct Held<'a>(&'a AtomicI64);

impl<'a> Held<'a> {
    pub(crate) fn new(gauge: &'a AtomicI64) -> Self {
        gauge.fetch_add(1, Relaxed);
        Self(gauge)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Figures {
    pub(crate) fn new(document: &Document) -> Self {
        Self {
            durations: (0..=document.routes.len()).map(|_| Histogram::new(BOUNDS)).collect(),
            requests: Mutex::default(),
            connections: AtomicI64::new(0),
            streams: AtomicI64::new(0),
        }
    }

    /// Counts a request; `route` is its number, `None` for what is no route.
    pub(crate) fn done(&self, route: Option<usize>, status: StatusCode, took: Duration) {
        let route = route.unwrap_or(self.durations.len() - 1);
        self.durations[route].took(took);
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((route, status.as_u16())).or_default() += 1;
    }

    /// In the text format of Prometheus; routes that nobody has called are left out.
    pub(crate) fn text(&self, document: &Document) -> String {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let name = |route: usize| {
            let route = document.routes.get(route);
            route.map_or(("other", "other"), |it| (it.path.as_str(), it.method.as_str()))
        };
        let mut out = Families::default();
        out.begin("http_requests_total", FamilyKind::Counter, "Requests, by route and answer.");
        for ((route, status), count) in &requests {
            let ((path, method), status) = (name(*route), status.to_string());
            let labels = [("route", path), ("method", method), ("status", status.as_str())];
            out.sample(&labels, *count as f64);
        }
        let help = "How long requests took, from their head to their answer.";
        out.begin("http_request_duration_seconds", FamilyKind::Histogram, help);
        for (route, durations) in self.durations.iter().enumerate() {
            let read = durations.read();
            if read.count() > 0 {
                let (path, method) = name(route);
                out.histogram(&[("route", path), ("method", method)], &read, NANO);
            }
        }
        out.begin("http_connections", FamilyKind::Gauge, "Connections, beside WebSockets.")
            .sample(&[], self.connections.load(Relaxed) as f64);
        out.begin("ws_connections", FamilyKind::Gauge, "WebSockets.")
            .sample(&[], self.streams.load(Relaxed) as f64);
        out.end()
    }
}
