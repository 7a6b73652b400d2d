//! A panic in a request is that request's error: its connection, others', and the database go on.

#![allow(clippy::unwrap_used)] // helpers of tests

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use embedded_db_engine::common::trace::{Decision, Tracing};
use embedded_db_engine::common::{Options as DatabaseOptions, Result};
use embedded_db_engine::{Database, Enriched, ModelSpace, Models, TextToEnrich};
use embedded_db_server::{Options, Server};
use embedded_db_testing::FakeModels;

/// Panics over one word.
struct Panicking(FakeModels);

impl Models for Panicking {
    fn space(&self) -> Result<Option<ModelSpace>> {
        self.0.space()
    }

    fn warm_up(&self) -> Result<()> {
        Ok(())
    }

    fn embed(&self, texts: &[String]) -> Result<Vec<f32>> {
        assert!(!texts.iter().any(|text| text.contains("panic")), "planted in a request");
        self.0.embed(texts)
    }

    fn enrich(&self, texts: &[TextToEnrich]) -> Result<Enriched> {
        self.0.enrich(texts)
    }

    fn summarize(&self, messages: &[String], vectors: &[f32], dimension: usize) -> Result<String> {
        self.0.summarize(messages, vectors, dimension)
    }
}

/// The status and the body of an answer, on a connection that goes on.
fn ask(connection: &mut BufReader<TcpStream>, text: &str) -> (u16, String) {
    let body = format!(r#"{{"semantic_query": {{"text": "{text}"}}}}"#);
    let head = format!(
        "POST /v1/query HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    connection.get_mut().write_all((head + &body).as_bytes()).unwrap();
    let (mut line, mut length) = (String::new(), 0);
    connection.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    loop {
        line.clear();
        connection.read_line(&mut line).unwrap();
        if let Some(told) = line.to_lowercase().strip_prefix("content-length: ") {
            length = told.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).unwrap();
    (status, String::from_utf8(body).unwrap())
}

#[test]
fn a_panic_in_a_request_is_its_own() {
    // Nobody listens there: what is decided is looked at, not what is sent.
    let tracing = Tracing {
        endpoint: "http://127.0.0.1:1".into(),
        normal: 0.0,
        slow: 0.0,
        ..Tracing::default()
    };
    let options = DatabaseOptions { tracing: Some(tracing), ..DatabaseOptions::default() };
    let models = Arc::new(Panicking(FakeModels::default()));
    let database = Database::open(":memory:", &options, Some(models)).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server::start(database.clone(), Options::new(address)).unwrap();
    let connect = || BufReader::new(TcpStream::connect(server.address()).unwrap());
    let (mut first, mut second) = (connect(), connect());
    for _ in 0..10 {
        let (status, body) = ask(&mut first, "panic");
        assert_eq!(status, 500, "{body}");
        assert!(body.contains("InternalError") && !body.contains("planted"), "{body}");
        for connection in [&mut first, &mut second] {
            assert_eq!(ask(connection, "well").0, 200);
        }
    }
    let tracer = database.tracer().unwrap().unwrap();
    let errors = tracer.decisions().find(|(decision, _)| *decision == Decision::Error).unwrap().1;
    assert_eq!(errors, 10);
    server.stop();
    assert_eq!(database.namespaces().unwrap(), ["default"]);
    database.close();
}
