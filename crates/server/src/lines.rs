//! Records of the log as lines of JSON.

use embedded_db_engine::common::calendar;
use embedded_db_engine::common::log::{Field, Record};

use crate::json::Writer;

/// A record as one line, without its end: whatever a text holds, it is escaped.
pub fn json_line(record: &Record) -> String {
    let mut out = Writer::default();
    let _written: Result<(), ()> = out.object(|out| {
        out.name("timestamp").text(&calendar::iso(record.time));
        out.name("level").text(record.level.name());
        out.name("target").text(&format!("embedded_db.{}", record.target));
        out.name("message").text(record.message);
        out.name("fields").object(|out| {
            for (name, field) in &record.fields {
                let out = out.name(name);
                match field {
                    Field::Number(number) => out.int(number),
                    Field::Seconds(seconds) => out.float(*seconds),
                    Field::Word(word) => out.text(word),
                    Field::Text(text) => out.text(text),
                }
            }
            Ok(())
        })?;
        if let Some(span) = record.span {
            out.name("trace_id").text(&format!("{:032x}", span.trace));
            out.name("span_id").text(&format!("{:016x}", span.span));
        }
        Ok(())
    });
    String::from_utf8_lossy(&out.end()).into_owned()
}

#[cfg(test)]
mod tests {
    use embedded_db_engine::common::log::Level;
    use embedded_db_engine::common::trace::Context;

    use super::*;

    #[test]
    fn a_record_is_one_object_on_one_line() {
        let mut record = Record {
            time: 1_700_000_000_123_456,
            level: Level::Warning,
            target: "server",
            message: "request failed",
            fields: vec![
                ("status", 503.into()),
                ("took", Field::Seconds(0.25)),
                ("error", "Timeout".into()),
                ("why", "a \"b\"\n\u{1b}[2J\u{2028}".to_owned().into()),
            ],
            span: None,
        };
        let line = json_line(&record);
        assert_eq!(
            line,
            "{\"timestamp\":\"2023-11-14T22:13:20.123456Z\",\"level\":\"warning\",\
             \"target\":\"embedded_db.server\",\"message\":\"request failed\",\
             \"fields\":{\"status\":503,\"took\":0.25,\"error\":\"Timeout\",\
             \"why\":\"a \\\"b\\\"\\n\\u001b[2J\u{2028}\"}}"
        );
        record.span = Some(Context { trace: 10, span: 11, sampled: true });
        let end =
            ",\"trace_id\":\"0000000000000000000000000000000a\",\"span_id\":\"000000000000000b\"}";
        assert!(json_line(&record).ends_with(end));
    }
}
