//! Traces in the JSON form of OTLP, the protocol of OpenTelemetry.

use std::time::Instant;

use embedded_db_common::trace::{Kept, Side, Span};
use serde_json::{Value, json};

/// Of the protocol: `SPAN_KIND_INTERNAL`, `SPAN_KIND_SERVER`, `STATUS_CODE_ERROR`.
const INTERNAL: u8 = 1;
const SERVER: u8 = 2;
const ERROR: u8 = 2;

/// The body of a request with some traces.
pub(super) fn encoded(service: &str, traces: &[Kept]) -> Vec<u8> {
    let spans: Vec<Value> = traces.iter().flat_map(spans).collect();
    let resource = [
        text("service.name", service),
        text("service.version", env!("CARGO_PKG_VERSION")),
        number("process.pid", u64::from(std::process::id())),
    ];
    let scope = json!({"name": "embedded_db", "version": env!("CARGO_PKG_VERSION")});
    let body = json!({"resourceSpans": [{
        "resource": {"attributes": resource},
        "scopeSpans": [{"scope": scope, "spans": spans}],
    }]});
    body.to_string().into_bytes()
}

fn spans(trace: &Kept) -> impl Iterator<Item = Value> {
    trace.spans.iter().enumerate().map(|(place, span)| encode(trace, place, span))
}

fn encode(trace: &Kept, place: usize, span: &Span) -> Value {
    let mut attributes =
        vec![text("db.system.name", "embedded_db"), text("db.operation.name", span.name)];
    if let Some(error) = span.failed {
        attributes.push(text("error.type", error));
    }
    if let Some(rows) = span.rows {
        attributes.push(number("db.response.returned_rows", rows));
    }
    if place == 0 && trace.lost > 0 {
        attributes.push(number("edb.spans_left_out", u64::from(trace.lost)));
    }
    let is_server = place == 0 && trace.side == Side::Server;
    let parent = if place == 0 { trace.caller } else { Some(trace.span_id(span.parent)) };
    let mut out = json!({
        "traceId": format!("{:032x}", trace.id),
        "spanId": format!("{:016x}", trace.span_id(place)),
        "name": span.name,
        "kind": if is_server { SERVER } else { INTERNAL },
        "startTimeUnixNano": nanos(trace, span.begun),
        "endTimeUnixNano": nanos(trace, span.ended),
        "attributes": attributes,
        "status": if span.failed.is_some() { json!({"code": ERROR}) } else { json!({}) },
    });
    if let Some(parent) = parent {
        out["parentSpanId"] = json!(format!("{parent:016x}"));
    }
    out
}

/// 64-bit numbers are texts there.
fn nanos(trace: &Kept, at: Instant) -> String {
    let since = at.saturating_duration_since(trace.begun).as_nanos();
    (i128::from(trace.time) * 1000 + since as i128).to_string()
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn number(key: &str, value: u64) -> Value {
    json!({"key": key, "value": {"intValue": value.to_string()}})
}
