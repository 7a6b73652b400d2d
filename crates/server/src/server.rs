//! Listening, and its end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, any, on};
use embedded_db_engine::Database;
use embedded_db_engine::common::log::{self, Level};
use embedded_db_engine::common::{Error, Result};
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use crate::dispatch::{DEFAULT, Target, dispatch};
use crate::document::{Document, Route};
use crate::figures::Held;
use crate::gate::Ends;
use crate::handlers;
use crate::options::Options;
use crate::shared::Shared;

/// Threads for what may take long: so many writers share a synchronisation of the disk.
const THREADS: usize = 128;
/// Bytes of the head of a request.
const HEAD: usize = 64 << 10;
/// Headers of a request.
const HEADERS: usize = 64;
/// Connections that the system keeps until they are accepted.
const BACKLOG: u32 = 1024;

/// A database that is served. It is not served any more when this is dropped.
pub struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    runtime: Mutex<Option<(Runtime, Arc<Semaphore>)>>,
    process: u32,
}

impl Server {
    /// Serves a database on threads of its own. The database stays open when the server ends.
    pub fn start(database: Database, options: Options) -> Result<Self> {
        if options.tokens.is_empty() && !options.address.ip().is_loopback() {
            return Err(Error::InvalidInput(format!(
                "{} can be reached by others, and there is no token; give the server tokens, or listen on \
                 127.0.0.1",
                options.address
            )));
        }
        options.limits.check()?;
        let database = database.namespace(DEFAULT)?;
        let document =
            Document::read().map_err(|error| Error::Internal(format!("openapi.json: {error}")))?;
        let address = options.address;
        let refused = |error: std::io::Error| {
            Error::InvalidInput(format!(
                "the server cannot listen on {address}: {error}; take another port"
            ))
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .max_blocking_threads(THREADS)
            .thread_name("edb-server")
            .enable_all()
            .build()
            .map_err(refused)?;
        let listener = runtime.block_on(async { listen(address) }).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let shared = Arc::new(Shared::new(database, options, document)?);
        let router = router(&shared)?;
        let connections = Arc::new(Semaphore::new(shared.options.limits.connections));
        log::log(Level::Info, "server", "listening", || [("address", address.to_string().into())]);
        runtime.spawn(accept(Arc::clone(&shared), listener, router, Arc::clone(&connections)));
        Ok(Self {
            shared,
            address,
            runtime: Mutex::new(Some((runtime, connections))),
            process: std::process::id(),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no further connections, waits for what is under way, and ends. What takes longer than the limits
    /// allow is cut off; what was acknowledged is stored. May be called more than once.
    pub fn stop(&self) {
        let running = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((runtime, connections)) = running else { return };
        if self.process != std::process::id() {
            // In a forked child: its threads have stayed with the parent.
            std::mem::forget(runtime);
            return;
        }
        self.shared.stop.send_replace(true);
        let limits = &self.shared.options.limits;
        let all = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        runtime.block_on(async {
            // Every connection has a permit until it ends; that of a WebSocket is another one.
            let ended = async {
                let _connections = connections.acquire_many(all(limits.connections)).await;
                let _streams = self.shared.streams.acquire_many(all(limits.streams)).await;
            };
            let _drained = timeout(limits.drain_time, ended).await;
        });
        self.shared.cursors.clear();
        log::log(Level::Info, "server", "ended", || []);
        runtime.shutdown_timeout(Duration::from_secs(1));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
    };
    #[cfg(unix)]
    socket.set_reuseaddr(true)?; // one that has just ended may be followed at once
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The routes of the document, each with what it does.
fn router(shared: &Arc<Shared>) -> Result<Router> {
    let mut paths: BTreeMap<&str, Vec<(usize, &Route)>> = BTreeMap::new();
    for (at, route) in shared.document.routes.iter().enumerate() {
        paths.entry(&route.path).or_default().push((at, route));
    }
    let mut router = Router::new();
    for (path, routes) in paths {
        let (mut methods, mut allowed) = (MethodRouter::new(), Vec::new());
        for (at, route) in routes {
            let work = handlers::find(&route.operation);
            let unknown = || Error::Internal(format!("nothing does {}", route.operation));
            let target = Target::Route(at, work.ok_or_else(unknown)?);
            methods = methods.merge(on(filter(&route.method)?, answering(shared, target)));
            allowed.push(route.method.as_str());
        }
        // Made once in the life of a server.
        let allowed: &'static str = Box::leak(allowed.join(", ").into_boxed_str());
        let methods = methods.fallback(answering(shared, Target::Methods(allowed)));
        router = router.route(path, methods);
    }
    Ok(router.fallback_service(any(answering(shared, Target::Nothing))))
}

fn filter(method: &str) -> Result<MethodFilter> {
    match method {
        "GET" => Ok(MethodFilter::GET),
        "POST" => Ok(MethodFilter::POST),
        "PUT" => Ok(MethodFilter::PUT),
        "PATCH" => Ok(MethodFilter::PATCH),
        "DELETE" => Ok(MethodFilter::DELETE),
        other => Err(Error::Internal(format!("the method {other:?}"))),
    }
}

fn answering(
    shared: &Arc<Shared>,
    target: Target,
) -> impl Fn(Request) -> BoxFuture<'static, Response> + Clone + Send + Sync + 'static {
    let shared = Arc::clone(shared);
    move |request| Box::pin(dispatch(Arc::clone(&shared), target, request))
}

/// Takes connections, as many as may be there at once, until the server stops.
async fn accept(
    shared: Arc<Shared>,
    listener: TcpListener,
    router: Router,
    connections: Arc<Semaphore>,
) {
    let mut stop = shared.stop.subscribe();
    let mut next = async || {
        let permit = Arc::clone(&connections).acquire_owned().await.ok()?;
        tokio::select! {
            accepted = listener.accept() => Some((accepted, permit)),
            _ = stop.wait_for(|stops| *stops) => None,
        }
    };
    while let Some((accepted, permit)) = next().await {
        match accepted {
            Ok((stream, _)) => {
                let serve = connection(Arc::clone(&shared), stream, router.clone(), permit);
                tokio::spawn(serve);
            }
            // Too many files are open, or the other side has gone: others may go soon.
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn connection(
    shared: Arc<Shared>,
    stream: TcpStream,
    router: Router,
    permit: OwnedSemaphorePermit,
) {
    let _permit = permit;
    let _held = Held::new(&shared.figures.connections);
    let (Ok(peer), Ok(own)) = (stream.peer_addr(), stream.local_addr()) else { return };
    let _quicker = stream.set_nodelay(true);
    let routes = TowerToHyperService::new(router);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Ends { peer, own });
        routes.call(request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.options.limits.head_time)
        .max_buf_size(HEAD)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut served = std::pin::pin!(served);
    let mut stop = shared.stop.subscribe();
    tokio::select! {
        _ended = served.as_mut() => return,
        _ = stop.wait_for(|stops| *stops) => {}
    }
    served.as_mut().graceful_shutdown();
    let _ended = served.await;
}
