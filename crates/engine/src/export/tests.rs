//! A collector that answers, is slow, refuses, or goes away costs callers nothing.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::Sender as Told;
use std::time::Instant;

use embedded_db_common::trace::{Context, Lost, Tracer};
use serde_json::Value;

use super::*;

/// What a collector does with a request.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Takes,
    Refuses,
    /// It reads, and says nothing.
    Hangs,
    Breaks,
}

/// The body of a request, and its head.
fn request(stream: &mut TcpStream) -> (String, Value) {
    let (mut told, mut room) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut room).unwrap();
        assert!(read > 0, "it has broken off");
        told.extend_from_slice(&room[..read]);
        let text = String::from_utf8_lossy(&told).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        if body.len() == length.parse::<usize>().unwrap() {
            return (head.to_owned(), serde_json::from_str(body).unwrap());
        }
    }
}

fn collect(listener: &TcpListener, manner: Manner, told: &Told<(String, Value)>) {
    let mut held = Vec::new();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        if manner == Manner::Breaks {
            continue;
        }
        let request = request(&mut stream);
        let answer = match manner {
            Manner::Takes => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            Manner::Refuses => "HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n",
            _ => "",
        };
        stream.write_all(answer.as_bytes()).unwrap();
        if told.send(request).is_err() {
            return;
        }
        held.push(stream);
    }
}

fn collector(manner: Manner) -> (Tracing, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let tracing = Tracing {
        endpoint: format!("http://{}", listener.local_addr().unwrap()),
        normal: 1.0,
        slow: 1.0,
        headers: vec![("Authorization".into(), "Bearer x".into())],
        service: "test".into(),
        timeout: Duration::from_millis(200),
        ..Tracing::default()
    };
    let (told, taken) = channel();
    std::thread::spawn(move || collect(&listener, manner, &told));
    (tracing, taken)
}

fn attribute<'v>(of: &'v Value, key: &str) -> Option<&'v Value> {
    let found = of["attributes"].as_array()?.iter().find(|it| it["key"] == key)?;
    found["value"].as_object()?.values().next()
}

#[test]
fn what_is_kept_arrives_in_the_form_of_the_protocol() {
    let (tracing, taken) = collector(Manner::Takes);
    let tracer = Tracer::new(&tracing);
    let exporter = Exporter::start(&tracing, tracer.queue()).unwrap();
    let caller = Context { trace: 0xabc, span: 0xdef, sampled: true };
    let before = embedded_db_common::clock::now();
    let mut moving = tracer.begin_moving("nodes", Some(caller), Instant::now());
    let wrong = || -> Result<()> { Err(Error::Internal("secret".into())) };
    moving.on_this_thread(|| tracer.call("query", wrong)).unwrap_err();
    moving.end(None);
    exporter.stop();
    let (head, body) = taken.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nAuthorization: Bearer x"), "{head}");
    let of = &body["resourceSpans"][0];
    assert_eq!(attribute(&of["resource"], "service.name").unwrap(), "test");
    let spans = of["scopeSpans"][0]["spans"].as_array().unwrap();
    let [outer, inner] = &spans[..] else { panic!("{body}") };
    for span in spans {
        assert_eq!(span["traceId"], format!("{:032x}", 0xabc));
        let time = |key: &str| span[key].as_str().unwrap().parse::<i64>().unwrap() / 1000;
        assert!(time("startTimeUnixNano") >= before - 1000, "{span}");
        assert!(time("endTimeUnixNano") >= time("startTimeUnixNano"), "{span}");
    }
    assert_eq!(outer["parentSpanId"], format!("{:016x}", 0xdef));
    assert_eq!(inner["parentSpanId"], outer["spanId"]);
    assert_eq!((&outer["kind"], &inner["kind"]), (&2.into(), &1.into()));
    assert_eq!((&outer["status"]["code"], &inner["status"]["code"]), (&Value::Null, &2.into()));
    assert_eq!(attribute(inner, "error.type").unwrap(), "InternalError");
    assert_eq!(attribute(inner, "db.operation.name").unwrap(), "query");
    assert!(!body.to_string().contains("secret"), "only names of errors are told");
    assert_eq!((tracer.queue().sent(), tracer.queue().lost()), (2, Lost::default()));
}

#[test]
fn a_collector_that_does_not_take_spans_costs_spans_and_nothing_else() {
    for manner in [Manner::Refuses, Manner::Hangs, Manner::Breaks] {
        let (tracing, _taken) = collector(manner);
        let tracing = Tracing { queue: 64, ..tracing };
        let tracer = Tracer::new(&tracing);
        let exporter = Exporter::start(&tracing, tracer.queue()).unwrap();
        let begun = Instant::now();
        for turn in 0..10_000 {
            assert_eq!(tracer.call("query", || Ok(turn)).unwrap(), turn);
        }
        // One of 64 that waited for the collector would take 30 s in all.
        assert!(begun.elapsed() < Duration::from_secs(15), "they took {:?}", begun.elapsed());
        let begun = Instant::now();
        exporter.stop();
        assert!(
            begun.elapsed() < LAST + Duration::from_secs(10),
            "the end took {:?}",
            begun.elapsed()
        );
        let (sent, lost) = (tracer.queue().sent(), tracer.queue().lost());
        assert_eq!((sent, lost.full + lost.refused), (0, 10_000));
        assert!(lost.full > 0 && lost.refused > 0, "{lost:?}");
    }
}

#[test]
fn a_collector_that_was_away_gets_what_comes_later() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let endpoint = format!("http://{address}");
    let tracing = Tracing { endpoint, normal: 1.0, slow: 1.0, ..Tracing::default() };
    let tracer = Tracer::new(&tracing);
    let exporter = Exporter::start(&tracing, tracer.queue()).unwrap();
    let begun = Instant::now();
    tracer.call("query", || Ok(())).unwrap();
    while tracer.queue().lost().refused == 0 {
        assert!(begun.elapsed().as_secs() < 60);
        std::thread::yield_now();
    }
    let listener = TcpListener::bind(address).unwrap();
    let (told, taken) = channel();
    std::thread::spawn(move || collect(&listener, Manner::Takes, &told));
    tracer.call("walk", || Ok(())).unwrap();
    let (_, body) = taken.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(body.to_string().contains("walk"), "{body}");
    exporter.stop();
    exporter.stop();
}
