//! The little of HTTP that a collector needs: one request on a connection of its own.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use embedded_db_common::trace::Tracing;
use embedded_db_common::{Error, Result};

/// More than the head of any answer.
const HEAD: usize = 8 << 10;

/// Where spans go.
pub(super) struct Collector {
    /// With its port.
    authority: String,
    path: String,
    headers: Vec<(String, String)>,
    timeout: Duration,
}

impl Collector {
    /// Of what a configuration names: `http://HOST:PORT`, and what stands before `/v1/traces`.
    pub(super) fn parse(tracing: &Tracing) -> Result<Self> {
        let endpoint = &tracing.endpoint;
        let wrong = |why: &str| Error::InvalidInput(format!("tracing.endpoint {endpoint:?} {why}"));
        let Some(rest) = endpoint.strip_prefix("http://") else {
            return Err(wrong(
                "does not begin with http://; name a collector on this machine or in this network, such \
                 as http://127.0.0.1:4318, which may send on by https",
            ));
        };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"@?#\"<>\\".contains(&byte);
        if host.is_empty() || !rest.bytes().all(is_plain) {
            return Err(wrong("is no address; write http://HOST:PORT"));
        }
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port { host.to_owned() } else { format!("{host}:4318") };
        let path = path.trim_end_matches('/');
        let slash = if path.is_empty() { "" } else { "/" };
        for (name, value) in &tracing.headers {
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            let is_value = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
            if name.is_empty() || !name.bytes().all(is_name) || !value.bytes().all(is_value) {
                let message = format!("tracing.headers: {name:?} is no header; use plain text");
                return Err(Error::InvalidInput(message));
            }
        }
        Ok(Self {
            authority,
            path: format!("{slash}{path}/v1/traces"),
            headers: tracing.headers.clone(),
            timeout: tracing.timeout,
        })
    }

    /// As it may be shown.
    pub(super) fn shown(&self) -> String {
        format!("http://{}{}", self.authority, self.path)
    }

    /// Sends a body; why it was not taken.
    pub(super) fn post(&self, body: &[u8]) -> std::result::Result<(), String> {
        let until = Instant::now() + self.timeout;
        let mut head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n",
            self.path,
            self.authority,
            body.len()
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut stream = self.connect(until).map_err(|error| error.to_string())?;
        let status = answer(&mut stream, head.as_bytes(), body, until);
        match status.map_err(|error| error.to_string())? {
            Some(200..=299) => Ok(()),
            Some(status) => Err(format!("the answer is {status}")),
            None => Err("the answer is not HTTP".into()),
        }
    }

    fn connect(&self, until: Instant) -> std::io::Result<TcpStream> {
        let mut refused = std::io::ErrorKind::AddrNotAvailable.into();
        for address in self.authority.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, left(until)?) {
                Ok(stream) => return Ok(stream),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }
}

/// The time that is left; none is an error.
fn left(until: Instant) -> std::io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(std::io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// The status of an answer, if it is HTTP. Each step has the time that is left for all of them.
fn answer(
    stream: &mut TcpStream,
    head: &[u8],
    body: &[u8],
    until: Instant,
) -> std::io::Result<Option<u16>> {
    for mut part in [head, body] {
        while !part.is_empty() {
            stream.set_write_timeout(Some(left(until)?))?;
            let written = stream.write(part)?;
            part = part.get(written..).unwrap_or_default();
        }
    }
    let (mut told, mut room) = (Vec::new(), [0; 1024]);
    while !told.contains(&b'\n') && told.len() < HEAD {
        stream.set_read_timeout(Some(left(until)?))?;
        let read = stream.read(&mut room)?;
        if read == 0 {
            break;
        }
        told.extend_from_slice(room.get(..read).unwrap_or_default());
    }
    let line = String::from_utf8_lossy(&told);
    let mut words = line.split_ascii_whitespace();
    let is_http = words.next().is_some_and(|version| version.starts_with("HTTP/1."));
    Ok(words.next().filter(|_| is_http).and_then(|status| status.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(endpoint: &str) -> Result<Collector> {
        Collector::parse(&Tracing { endpoint: endpoint.into(), ..Tracing::default() })
    }

    #[test]
    fn an_endpoint_is_a_host_with_a_port_and_what_stands_before_the_path() {
        for (given, shown) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://collector", "http://collector:4318/v1/traces"),
            ("http://[::1]:80/", "http://[::1]:80/v1/traces"),
            ("http://[::1]", "http://[::1]:4318/v1/traces"),
            ("http://h:1/otlp/", "http://h:1/otlp/v1/traces"),
        ] {
            assert_eq!(of(given).unwrap().shown(), shown);
        }
        let odd = [
            "",
            "127.0.0.1:4318",
            "https://h",
            "http://",
            "http:///x",
            "http://a b",
            "http://h\r\nX: y",
        ];
        for given in odd {
            assert!(matches!(of(given), Err(Error::InvalidInput(_))), "{given:?}");
        }
        let headers = vec![("X".to_owned(), "a\r\nHost: evil".to_owned())];
        let injected = Tracing { headers, ..Tracing::default() };
        assert!(Collector::parse(&injected).is_err());
    }
}
