//! What a server is told at its start.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use embedded_db_engine::common::{Error, Result};

use crate::tokens::Tokens;

/// How a database is served.
#[derive(Debug)]
pub struct Options {
    /// Where to listen; with the port 0 the system gives one.
    pub address: SocketAddr,
    /// Who may do what; without any, everybody may do everything, from this machine alone.
    pub tokens: Tokens,
    /// Names by which it may be called, beside those of this machine and the address itself.
    pub hosts: Vec<String>,
    /// Origins of pages that may call it, such as `https://example.org`, beside its own.
    pub origins: Vec<String>,
    /// The embedding space of vectors and legs that name none.
    pub embedding_space: Option<String>,
    /// The version of Python that it runs in; empty without one.
    pub python: String,
    /// The files of the Explorer, by name; without them there is no such page.
    pub explorer: BTreeMap<String, Vec<u8>>,
    /// How much it takes.
    pub limits: Limits,
}

/// How much a server takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once, beside WebSockets; what comes further waits.
    pub connections: usize,
    /// WebSockets at once.
    pub streams: usize,
    /// Requests that are worked on at once; further ones are answered 503.
    pub requests: usize,
    /// Bytes of a body.
    pub body: usize,
    /// Bytes of all bodies that are read at once.
    pub bodies: usize,
    /// How long a request may be worked on.
    pub request_time: Duration,
    /// How long its head may take to come, also of the next on a connection.
    pub head_time: Duration,
    /// How long its body may take to come.
    pub body_time: Duration,
    /// How long the end may take, when there are requests under way.
    pub drain_time: Duration,
    /// Between two pings on a WebSocket; after two that are not answered it ends.
    pub ping: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            streams: 10_000,
            requests: 1024,
            body: 8 << 20,
            bodies: 64 << 20,
            request_time: Duration::from_secs(30),
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            drain_time: Duration::from_secs(10),
            ping: Duration::from_secs(30),
        }
    }
}

/// The address of a host, by its name or as it is, and a port.
pub fn address(host: &str, port: u16) -> Result<SocketAddr> {
    let refused = |why: &str| {
        Error::InvalidInput(format!("the host {host:?} {why}; give an address such as 127.0.0.1"))
    };
    let mut found = (host, port).to_socket_addrs().map_err(|_| refused("cannot be found"))?;
    found.next().ok_or_else(|| refused("has no address"))
}

impl Limits {
    /// Refuses what makes no sense.
    pub(crate) fn check(&self) -> Result<()> {
        const MOST: usize = 1 << 28;
        let counts = [
            ("max_connections", self.connections),
            ("max_websockets", self.streams),
            ("max_requests", self.requests),
            ("max_body", self.body),
            ("the room for bodies", self.bodies),
        ];
        for (name, count) in counts {
            if !(1..=MOST).contains(&count) {
                let message = format!("{name} is {count}; it must be a number from 1 to {MOST}");
                return Err(Error::InvalidInput(message));
            }
        }
        Ok(())
    }
}

impl Options {
    /// On an address, without tokens, with the usual limits.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            tokens: Tokens::default(),
            hosts: Vec::new(),
            origins: Vec::new(),
            embedding_space: None,
            python: String::new(),
            explorer: BTreeMap::new(),
            limits: Limits::default(),
        }
    }
}
