//! The message bus. Without a log its calls hold the interpreter: they are shorter than letting go of it.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use embedded_db_bus::{self as bus, Durability, Options, Overflow, Publish, Waker};
use embedded_db_engine::common::Result;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict};

use crate::arguments::Text;
use crate::errors::{attached, detached, interrupted};
use crate::values::wait;

/// Bodies with their kinds; `messaging.codec` knows what these are.
type Bodies = Vec<(u8, PyBackedBytes)>;

/// Channels in this process, and a log.
#[pyclass(frozen, module = "embedded_db._native")]
pub(crate) struct Bus {
    inner: Arc<bus::Bus>,
}

/// A pattern of channels and a group.
#[pyclass(frozen, module = "embedded_db._native")]
pub(crate) struct Subscription {
    inner: Arc<bus::Subscription>,
    bus: Arc<bus::Bus>,
}

/// A message that was given to a consumer.
#[pyclass(frozen, module = "embedded_db._native")]
pub(crate) struct Delivery {
    inner: bus::Delivery,
    subscription: Arc<bus::Subscription>,
    bus: Arc<bus::Bus>,
}

/// A message that nobody acknowledged.
#[pyclass(frozen, module = "embedded_db._native")]
pub(crate) struct DeadLetter {
    inner: bus::DeadLetter,
}

/// Runs short work that touches no file with the interpreter held, else without it.
fn run<T: Send>(
    py: Python<'_>,
    bus: &bus::Bus,
    work: impl FnOnce() -> Result<T> + Send,
) -> PyResult<T> {
    let checked = || bus.check().and_then(|()| work());
    if bus.is_durable() { detached(py, checked) } else { attached(py, checked) }
}

fn limit(seconds: Option<f64>) -> Option<Duration> {
    seconds.and_then(wait)
}

fn waker(callback: Py<PyAny>) -> Waker {
    Box::new(move || {
        // When the interpreter ends nobody waits any more.
        Python::try_attach(|py| {
            if let Err(error) = callback.call0(py) {
                error.write_unraisable(py, None);
            }
        });
    })
}

#[pymethods]
impl Bus {
    #[new]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        path: Option<OsString>,
        capacity: usize,
        overflow: &str,
        ageing: i64,
        ack_deadline: i64,
        max_attempts: u32,
        durability: &str,
    ) -> PyResult<Self> {
        let overflow = match overflow {
            "block" => Overflow::Block,
            "drop_oldest" => Overflow::DropOldest,
            _ => Overflow::Error,
        };
        let durability =
            if durability == "durable" { Durability::Durable } else { Durability::Relaxed };
        let options =
            Options { capacity, overflow, ageing, ack_deadline, max_attempts, durability };
        let inner = detached(py, || bus::Bus::new(path.as_deref().map(Path::new), options))?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Publishes one message; its number. Waits for room.
    #[allow(clippy::too_many_arguments)]
    fn publish(
        &self,
        py: Python<'_>,
        channel: Text<'_>,
        kind: u8,
        body: &[u8],
        priority: u8,
        ttl: Option<i64>,
        key: Option<Text<'_>>,
        reply_to: Option<Text<'_>>,
        timeout: Option<f64>,
    ) -> PyResult<u64> {
        let body = body.into();
        let key = key.map(|key| (*key).into());
        let reply_to = reply_to.map(|channel| (*channel).into());
        let mut given = vec![Publish { key, reply_to, priority, kind, ttl, body }];
        let ids = self.published(py, &channel, &mut given, timeout)?;
        Ok(ids[0])
    }

    /// Publishes many, in their order; their numbers. Waits for room.
    #[allow(clippy::too_many_arguments)]
    fn publish_batch(
        &self,
        py: Python<'_>,
        channel: Text<'_>,
        bodies: Bodies,
        priority: u8,
        ttl: Option<i64>,
        keys: Option<Vec<Option<String>>>,
        timeout: Option<f64>,
    ) -> PyResult<Vec<u64>> {
        let mut given = drafts(bodies, priority, ttl, keys, None);
        self.published(py, &channel, &mut given, timeout)
    }

    /// Publishes as many as there is room for at once: their numbers, and what is full.
    #[allow(clippy::too_many_arguments)]
    fn try_publish_batch(
        &self,
        py: Python<'_>,
        channel: Text<'_>,
        bodies: Bodies,
        priority: u8,
        ttl: Option<i64>,
        keys: Option<Vec<Option<String>>>,
        reply_to: Option<Text<'_>>,
    ) -> PyResult<(Vec<u64>, Option<Subscription>)> {
        let mut given = drafts(bodies, priority, ttl, keys, reply_to);
        let channel: &str = &channel;
        let outcome = run(py, &self.inner, || self.inner.try_publish(channel, &mut given))?;
        let full = outcome.full.map(|inner| Subscription { inner, bus: Arc::clone(&self.inner) });
        Ok((outcome.ids, full))
    }

    fn subscribe(
        &self,
        py: Python<'_>,
        pattern: Text<'_>,
        group: Text<'_>,
    ) -> PyResult<Subscription> {
        let (pattern, group): (&str, &str) = (&pattern, &group);
        let inner = detached(py, || self.inner.subscribe(pattern, group))?;
        Ok(Subscription { inner, bus: Arc::clone(&self.inner) })
    }

    fn unsubscribe(&self, py: Python<'_>, pattern: Text<'_>, group: Text<'_>) -> PyResult<bool> {
        let (pattern, group): (&str, &str) = (&pattern, &group);
        detached(py, || self.inner.unsubscribe(pattern, group))
    }

    fn subscriptions(&self, py: Python<'_>) -> PyResult<Vec<Subscription>> {
        let all = attached(py, || self.inner.subscriptions())?;
        let made = |inner| Subscription { inner, bus: Arc::clone(&self.inner) };
        Ok(all.into_iter().map(made).collect())
    }

    fn unclaimed(&self, py: Python<'_>) -> PyResult<usize> {
        attached(py, || self.inner.unclaimed())
    }

    fn new_own_channel(&self, py: Python<'_>) -> PyResult<String> {
        attached(py, || self.inner.new_own_channel())
    }

    #[getter]
    fn is_durable(&self) -> bool {
        self.inner.is_durable()
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, || self.inner.close())
    }
}

impl Bus {
    fn published(
        &self,
        py: Python<'_>,
        channel: &str,
        given: &mut Vec<Publish>,
        timeout: Option<f64>,
    ) -> PyResult<Vec<u64>> {
        let mut ids = Vec::new();
        if !self.inner.is_durable() {
            let outcome = attached(py, || self.inner.try_publish(channel, given))?;
            ids = outcome.ids;
            if outcome.full.is_none() {
                return Ok(ids);
            }
        }
        let rest = std::mem::take(given);
        detached(py, || self.inner.publish(channel, ids, rest, limit(timeout), &interrupted))
    }
}

fn drafts(
    bodies: Bodies,
    priority: u8,
    ttl: Option<i64>,
    keys: Option<Vec<Option<String>>>,
    reply_to: Option<Text<'_>>,
) -> Vec<Publish> {
    let mut keys = keys.into_iter().flatten();
    let draft = |(kind, body): (u8, PyBackedBytes)| {
        let key = keys.next().flatten().map(Into::into);
        let reply_to = reply_to.map(|channel| (*channel).into());
        Publish { key, reply_to, priority, kind, ttl, body: body[..].into() }
    };
    bodies.into_iter().map(draft).collect()
}

#[pymethods]
impl Subscription {
    #[getter]
    fn pattern(&self) -> &str {
        self.inner.pattern()
    }

    #[getter]
    fn group(&self) -> &str {
        self.inner.group()
    }

    /// Up to so many messages; none when the time is over. Waits for ever without one.
    fn take(&self, py: Python<'_>, limit: usize, timeout: Option<f64>) -> PyResult<Vec<Delivery>> {
        let mut taken = Vec::new();
        if !self.bus.is_durable() || timeout == Some(0.0) {
            taken = run(py, &self.bus, || self.inner.try_take(limit))?;
        }
        if taken.is_empty() && timeout != Some(0.0) {
            taken = detached(py, || {
                self.bus.check()?;
                let taken = self.inner.take(limit, self::limit(timeout), &interrupted);
                // When the bus ends, so do all subscriptions; the bus says it better.
                taken.or_else(|error| self.bus.check().and(Err(error)))
            })?;
        }
        let made = |inner| Delivery {
            inner,
            subscription: Arc::clone(&self.inner),
            bus: Arc::clone(&self.bus),
        };
        Ok(taken.into_iter().map(made).collect())
    }

    /// Acknowledges deliveries of this subscription; how many were still this consumer's.
    fn ack(&self, py: Python<'_>, deliveries: Vec<PyRef<'_, Delivery>>) -> PyResult<usize> {
        let all: Vec<&bus::Delivery> = deliveries.iter().map(|one| &one.inner).collect();
        run(py, &self.bus, || self.inner.ack(all))
    }

    /// Gives back deliveries that nobody has looked at.
    fn release(&self, py: Python<'_>, deliveries: Vec<PyRef<'_, Delivery>>) -> PyResult<usize> {
        let all: Vec<&bus::Delivery> = deliveries.iter().map(|one| &one.inner).collect();
        run(py, &self.bus, || self.inner.release(all))
    }

    /// In how many seconds something may come without anybody doing anything.
    fn next_due(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        Ok(attached(py, || self.inner.next_due())?.map(|due| due.as_secs_f64()))
    }

    fn call_when_arrived(&self, callback: Py<PyAny>) -> u64 {
        self.inner.call_when_arrived(waker(callback))
    }

    fn leave_arrivals(&self, number: u64) {
        self.inner.leave_arrivals(number);
    }

    fn call_when_room(&self, callback: Py<PyAny>) -> u64 {
        self.inner.call_when_room(waker(callback))
    }

    fn leave_room(&self, number: u64) {
        self.inner.leave_room(number);
    }

    fn dead_letters(&self, py: Python<'_>) -> PyResult<Vec<DeadLetter>> {
        let all = run(py, &self.bus, || self.inner.dead_letters())?;
        Ok(all.into_iter().map(|inner| DeadLetter { inner }).collect())
    }

    fn retry_dead_letters(&self, py: Python<'_>) -> PyResult<usize> {
        run(py, &self.bus, || self.inner.retry_dead_letters())
    }

    fn discard_dead_letters(&self, py: Python<'_>) -> PyResult<usize> {
        run(py, &self.bus, || self.inner.discard_dead_letters())
    }

    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = run(py, &self.bus, || self.inner.counts())?;
        let dict = PyDict::new(py);
        dict.set_item("waiting", counts.waiting)?;
        dict.set_item("in_flight", counts.in_flight)?;
        dict.set_item("dead", counts.dead)?;
        dict.set_item("delivered", counts.delivered)?;
        dict.set_item("acked", counts.acked)?;
        dict.set_item("dropped", counts.dropped)?;
        dict.set_item("expired", counts.expired)?;
        Ok(dict)
    }
}

/// What a message tells of itself.
macro_rules! told {
    ($name:ident { $($rest:item)* }) => {
        #[pymethods]
        impl $name {
            #[getter]
            fn id(&self) -> u64 {
                self.inner.message.id
            }

            #[getter]
            fn channel(&self) -> &str {
                &self.inner.message.channel
            }

            #[getter]
            fn key(&self) -> Option<&str> {
                self.inner.message.key.as_deref()
            }

            #[getter]
            fn priority(&self) -> u8 {
                self.inner.message.priority
            }

            #[getter]
            fn attempts(&self) -> u32 {
                self.inner.attempts
            }

            /// Microseconds since 1970.
            #[getter]
            fn published(&self) -> i64 {
                self.inner.message.published
            }

            #[getter]
            fn kind(&self) -> u8 {
                self.inner.message.kind
            }

            #[getter]
            fn body<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
                PyBytes::new(py, &self.inner.message.body)
            }

            $($rest)*
        }
    };
}

told!(Delivery {
    #[getter]
    fn reply_to(&self) -> Option<&str> {
        self.inner.message.reply_to.as_deref()
    }

    fn ack(&self, py: Python<'_>) -> PyResult<bool> {
        let acked = run(py, &self.bus, || self.subscription.ack([&self.inner]))?;
        Ok(acked > 0)
    }

    fn nack(&self, py: Python<'_>, delay: i64, reason: Text<'_>) -> PyResult<bool> {
        let reason: &str = &reason;
        run(py, &self.bus, || self.subscription.nack(&self.inner, delay, reason))
    }
});

told!(DeadLetter {
    #[getter]
    fn reason(&self) -> &str {
        &self.inner.reason
    }
});
