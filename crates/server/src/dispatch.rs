//! One request from its head to its answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequestParts, RawPathParams, Request, WebSocketUpgrade};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use axum::response::Response;
use embedded_db_engine::common::log::{self, Level};
use embedded_db_engine::common::trace::{Context, Moving};
use embedded_db_engine::common::{Error, Result, Value};
use embedded_db_engine::{Database, panic_text};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::document::Route;
use crate::explorer;
use crate::feeds::write_changes;
use crate::fields::Fields;
use crate::gate::{Ends, check_content, check_host, check_namespace, check_origin, check_token};
use crate::handlers::{self, Call, Handler, Work};
use crate::json::{self, Writer};
use crate::reply::{Refusal, Reply};
use crate::schema::Wrong;
use crate::shared::Shared;
use crate::streams::{self, Follower};
use crate::tokens::{Grant, Scope};

/// What an answer may do that is looked at as a page: nothing.
const NO_PAGE: &str = "default-src 'none'; frame-ancestors 'none'";

/// The namespace of requests that name none.
pub(crate) const DEFAULT: &str = "default";

/// What a path and a method lead to.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    Route(usize, Work),
    /// The path has other methods.
    Methods(&'static str),
    Nothing,
}

type Outcome<T> = std::result::Result<T, Refusal>;

/// Answers a request, counts it, and writes down what is not the caller's to mend.
pub(crate) async fn dispatch(shared: Arc<Shared>, target: Target, request: Request) -> Response {
    let (begun, id) = (Instant::now(), shared.request_id());
    let route = if let Target::Route(route, _) = target { Some(route) } else { None };
    let trace = traced(&shared, route, request.headers(), begun);
    let answered = answer(&shared, target, request, trace.clone()).await;
    let (failed, mut response) = match answered {
        Ok(response) => ("unavailable", response),
        Err(refusal) => {
            let refuse =
                |refusal: Refusal| (refusal.code(), refused(&shared, route, refusal, &id, target));
            on_this_thread(trace.as_ref(), || refuse(refusal))
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let page = route.is_some_and(|route| shared.document.routes[route].open);
    let policy = HeaderValue::from_static(if page { explorer::POLICY } else { NO_PAGE });
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert("x-request-id", id);
    }
    shared.figures.done(route, response.status(), begun.elapsed());
    if let Some(trace) = trace {
        let trace = trace.lock().unwrap_or_else(PoisonError::into_inner).take();
        // What is the caller's to mend is none of the server's failures.
        let failed = response.status().is_server_error().then_some(failed);
        trace.into_iter().for_each(|trace| trace.end(failed));
    }
    response
}

/// The trace of a request while it goes on; it ends with the request, or with what works on it when nobody waits.
type Traced = Arc<Mutex<Option<Moving>>>;

/// The trace of a request, as a part of its caller's if there is one.
fn traced(
    shared: &Shared,
    route: Option<usize>,
    headers: &HeaderMap,
    begun: Instant,
) -> Option<Traced> {
    let tracer = shared.tracer.as_ref()?;
    let operation = route.and_then(|at| shared.document.routes.get(at));
    let name = operation.map_or("no route", |route| handlers::name(&route.operation));
    let mut told = headers.get_all("traceparent").iter();
    // Two of them are none.
    let caller = told.next().filter(|_| told.next().is_none());
    let caller = caller.and_then(|header| Context::parse(header.to_str().ok()?));
    Some(Arc::new(Mutex::new(Some(tracer.begin_moving(name, caller, begun)))))
}

/// Does a part of a request, in its trace if it has one.
fn on_this_thread<T>(trace: Option<&Traced>, work: impl FnOnce() -> T) -> T {
    let mut trace = trace.map(|trace| trace.lock().unwrap_or_else(PoisonError::into_inner));
    match trace.as_mut().and_then(|trace| trace.as_mut()) {
        Some(trace) => trace.on_this_thread(work),
        None => work(),
    }
}

fn refused(
    shared: &Shared,
    route: Option<usize>,
    refusal: Refusal,
    id: &str,
    target: Target,
) -> Response {
    let status = refusal.status();
    if let Some(detail) = refusal.detail() {
        let operation = route.and_then(|at| shared.document.routes.get(at));
        let operation = operation.map_or("", |route| handlers::name(&route.operation));
        log::log(Level::Error, "server", "request failed", || {
            [
                ("request_id", id.to_owned().into()),
                ("operation", operation.into()),
                ("status", u64::from(status.as_u16()).into()),
                ("error", refusal.code().into()),
                ("detail", detail.into()),
            ]
        });
    }
    let later = if let Refusal::Http(http) = &refusal { http.retry_after } else { None };
    let mut response = refusal.into_reply(id).into_response();
    let headers = response.headers_mut();
    if let Some(seconds) = later {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if status == StatusCode::UPGRADE_REQUIRED {
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    if let Target::Methods(allowed) = target {
        headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
    }
    if [StatusCode::REQUEST_TIMEOUT, StatusCode::PAYLOAD_TOO_LARGE].contains(&status) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn answer(
    shared: &Arc<Shared>,
    target: Target,
    request: Request,
    trace: Option<Traced>,
) -> Outcome<Response> {
    let (mut parts, body) = request.into_parts();
    let ends = parts.extensions.get::<Ends>().copied();
    let ends = ends.ok_or_else(|| Error::Internal("a request without its ends".into()))?;
    let authority = check_host(shared, &parts, ends)?;
    check_origin(shared, &parts, &authority)?;
    let (route, work) = match target {
        Target::Route(at, work) => (&shared.document.routes[at], work),
        Target::Methods(_) => {
            let (message, hint) = ("the path has no such method", "look at /openapi.json");
            return Err(Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                message,
                hint,
            ));
        }
        Target::Nothing => {
            let (message, hint) = ("there is no such path", "look at /openapi.json");
            return Err(Refusal::new(StatusCode::NOT_FOUND, "NoSuchPath", message, hint));
        }
    };
    let socket = matches!(work, Work::ChangesStream | Work::WeaverStream);
    let grant = check_token(shared, route, &parts.headers, socket, ends)?;
    let parameters = parameters(shared, route, &mut parts).await?;
    if matches!(work, Work::Access) {
        return Ok(access(&grant, !shared.database.read_only())?);
    }
    if matches!(work, Work::Explorer) {
        let name = Fields::new(&parameters).text("file").unwrap_or(explorer::PAGE).to_owned();
        return Ok(shared.explorer.file(&name)?.into_response());
    }
    let namespace = Fields::new(&parameters).text("namespace").unwrap_or(DEFAULT).to_owned();
    if !route.whole && route.scope.is_some() {
        check_namespace(&grant, &namespace)?;
    }
    check_content(route, &parts.headers)?;
    match work {
        Work::ChangesStream | Work::WeaverStream => {
            return stream(shared, work, &mut parts, &parameters, &namespace).await;
        }
        Work::Changes => return changes(shared, &parameters, &namespace).await,
        Work::Short(_) | Work::Long(_) | Work::Access | Work::Explorer => {}
    }
    let permit = Arc::clone(&shared.requests).try_acquire_owned().map_err(|_| busy())?;
    let (body, room) = read_body(shared, route, &parts.headers, body).await?;
    let run = Run {
        shared: Arc::clone(shared),
        parameters,
        body,
        namespace,
        makes: route.scope == Some(Scope::Write) && route.method == "POST",
        left: Arc::new(AtomicBool::new(false)),
        until: Instant::now() + shared.options.limits.request_time,
        trace,
        _permits: (permit, room),
    };
    match work {
        Work::Short(handler) => run.run(handler),
        Work::Long(handler) => {
            // Whoever waits for it has gone when this is dropped.
            let watched = Left(Arc::clone(&run.left));
            let done = tokio::task::spawn_blocking(move || run.run(handler)).await;
            drop(watched);
            done.unwrap_or_else(|_| Err(Error::Internal("a request was cut off".into()).into()))
        }
        _ => Err(Error::Internal("a stream is no request".into()).into()),
    }
}

/// What a token may do, to whoever has it.
fn access(grant: &Grant, writable: bool) -> Result<Response> {
    let writes = grant.scope == Scope::Write && writable;
    let told = Reply::object(|out| {
        out.name("scope").text(if writes { "write" } else { "read" });
        out.name("namespaces").optional(grant.namespaces.as_ref(), Writer::texts);
        Ok(())
    })?;
    Ok(told.into_response())
}

fn busy() -> Refusal {
    let (message, hint) = ("too many requests are under way", "try again in a second");
    Refusal::later(StatusCode::SERVICE_UNAVAILABLE, "Overloaded", message, hint, 1)
}

/// Tells the work when nobody waits for it any more.
struct Left(Arc<AtomicBool>);

impl Drop for Left {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// A request on its way to its handler.
struct Run {
    shared: Arc<Shared>,
    parameters: Vec<(String, Value)>,
    body: Value,
    namespace: String,
    /// Whether its namespace is made when it is new.
    makes: bool,
    left: Arc<AtomicBool>,
    until: Instant,
    trace: Option<Traced>,
    _permits: (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>),
}

impl Run {
    fn run(&self, handler: Handler) -> Outcome<Response> {
        let interrupted = || {
            if self.left.load(Relaxed) {
                return Err(Error::Interrupted);
            }
            if Instant::now() >= self.until {
                let seconds = self.shared.options.limits.request_time.as_secs_f64();
                return Err(Error::Timeout { what: "the request".into(), seconds });
            }
            Ok(())
        };
        let work = || {
            handler(&Call {
                shared: &self.shared,
                db: namespaced(&self.shared, &self.namespace, self.makes)?,
                parameters: Fields::new(&self.parameters),
                body: &self.body,
                interrupted: &interrupted,
            })
        };
        let done = catch_unwind(AssertUnwindSafe(|| on_this_thread(self.trace.as_ref(), work)));
        let done = done.unwrap_or_else(|panic| {
            Err(Error::Internal(format!("a panic: {}", panic_text(&*panic))))
        });
        Ok(done.map(Reply::into_response)?)
    }
}

/// The handle on a namespace. Only what stores something makes it.
fn namespaced(shared: &Shared, name: &str, makes: bool) -> Result<Database> {
    if name == DEFAULT {
        return Ok(shared.database.clone());
    }
    if !makes && !shared.database.namespaces()?.iter().any(|known| known == name) {
        return Err(Error::NotFound { kind: "namespace", id: name.to_owned() });
    }
    shared.database.namespace(name)
}

async fn parameters(
    shared: &Shared,
    route: &Route,
    parts: &mut Parts,
) -> Outcome<Vec<(String, Value)>> {
    let odd = || {
        let message = "the path or the query is not UTF-8, percent-encoded";
        Refusal::new(StatusCode::BAD_REQUEST, "InvalidInput", message, "encode it so")
    };
    let path = RawPathParams::from_request_parts(parts, &()).await.map_err(|_| odd())?;
    let path: Vec<_> = path.iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
    let query = decoded_query(parts.uri.query().unwrap_or_default()).ok_or_else(odd)?;
    shared.document.parameters(route, &path, &query).map_err(|wrong| unfit("", wrong))
}

/// What the document does not allow.
fn unfit(of: &str, Wrong { path, message }: Wrong) -> Refusal {
    let message = format!("{of}{path}: {message}");
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    Refusal::new(status, "InvalidInput", message, "/openapi.json says what it takes")
}

fn decoded_query(query: &str) -> Option<Vec<(String, String)>> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decoded(name)?, decoded(value)?))
    });
    pairs.collect()
}

fn decoded(text: &str) -> Option<String> {
    let (mut out, mut bytes) = (Vec::with_capacity(text.len()), text.bytes());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

/// The body, and the room that it takes until the request is done.
async fn read_body(
    shared: &Shared,
    route: &Route,
    headers: &HeaderMap,
    body: Body,
) -> Outcome<(Value, Option<OwnedSemaphorePermit>)> {
    if !route.has_body() {
        return Ok((Value::Null, None));
    }
    let limits = &shared.options.limits;
    let told = headers.get(header::CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse().ok());
    let length: usize = told.unwrap_or(limits.body);
    if length > limits.body {
        return Err(large(limits.body));
    }
    let wanted = u32::try_from(length.min(limits.bodies)).unwrap_or(u32::MAX);
    let reading = async {
        let room =
            Arc::clone(&shared.bodies).acquire_many_owned(wanted).await.map_err(|_| busy())?;
        let bytes: Bytes = to_bytes(body, limits.body).await.map_err(|error| {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            if source.is_some_and(|source| source.contains("length limit")) {
                return large(limits.body);
            }
            let message = "the body has broken off";
            Refusal::new(StatusCode::BAD_REQUEST, "InvalidInput", message, "send all of it")
        })?;
        Ok::<_, Refusal>((bytes, room))
    };
    let late = |_| {
        let (message, hint) =
            ("the body took too long to come", "send it quicker, or less at once");
        Refusal::new(StatusCode::REQUEST_TIMEOUT, "Timeout", message, hint)
    };
    let (bytes, room) = timeout(limits.body_time, reading).await.map_err(late)??;
    let body = json::read(&bytes).map_err(|error| {
        let message = format!("the body is not JSON: {error}");
        Refusal::new(StatusCode::BAD_REQUEST, "InvalidInput", message, "send a JSON object")
    })?;
    shared.document.check_body(route, &body).map_err(|wrong| unfit("body", wrong))?;
    Ok((body, Some(room)))
}

fn large(limit: usize) -> Refusal {
    let message = format!("the body is longer than {limit} bytes");
    let hint = "send less at once, or start the server with a higher --max-body";
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "ValueTooLarge", message, hint)
}

/// The changes behind one; when there are none, those that come while it waits.
async fn changes(
    shared: &Arc<Shared>,
    parameters: &[(String, Value)],
    namespace: &str,
) -> Outcome<Response> {
    let given = Fields::new(parameters);
    let db = namespaced(shared, namespace, false)?;
    let (mut since, labels) = (given.size("since"), given.given_texts("label"));
    let until = Instant::now() + Duration::from_secs_f64(given.number("wait").unwrap_or(0.0));
    let mut next = shared.feeds.follow(&db)?;
    loop {
        let page = db.changes_after(since, labels.as_deref())?;
        let left = until.saturating_duration_since(Instant::now());
        if page.changes.is_empty() && page.reached < page.last {
            since = Some(page.reached); // nothing of interest so far
            tokio::task::yield_now().await;
            continue;
        }
        if !page.changes.is_empty() || left.is_zero() || shared.stops() {
            return Ok(Reply::object(|out| {
                write_changes(out, page.changes.iter());
                out.name("reached").int(page.reached);
                out.name("last").int(page.last);
                Ok(())
            })?
            .into_response());
        }
        since = Some(page.reached);
        let mut stop = shared.stop.subscribe();
        tokio::select! {
            _ = timeout(left, next.recv()) => {}
            _ = stop.wait_for(|stops| *stops) => {}
        }
    }
}

async fn stream(
    shared: &Arc<Shared>,
    work: Work,
    parts: &mut Parts,
    parameters: &[(String, Value)],
    namespace: &str,
) -> Outcome<Response> {
    let upgrade = WebSocketUpgrade::from_request_parts(parts, &()).await.map_err(|_| {
        let (message, hint) = ("this is a WebSocket", "connect as one");
        Refusal::new(StatusCode::UPGRADE_REQUIRED, "UpgradeRequired", message, hint)
    })?;
    let permit = Arc::clone(&shared.streams).try_acquire_owned().map_err(|_| busy())?;
    let shared = Arc::clone(shared);
    if matches!(work, Work::WeaverStream) {
        let status = shared.feeds.status()?;
        return Ok(streams::weaver(upgrade, shared, permit, status));
    }
    let given = Fields::new(parameters);
    let db = namespaced(&shared, namespace, false)?;
    let next = shared.feeds.follow(&db)?;
    let position = match given.size("since") {
        // Where it cannot begin, it is refused before it is a WebSocket.
        Some(since) => {
            db.changes_after(Some(since), None)?;
            since
        }
        None => db.changes_after(None, None)?.last,
    };
    let follower = Follower { db, labels: given.texts("label"), position, next };
    Ok(streams::changes(upgrade, shared, permit, follower))
}

#[cfg(test)]
mod tests {
    use super::decoded_query;

    #[test]
    fn queries_are_decoded_once() {
        let pairs = decoded_query("a=1&b=%C3%A4+%252F&c&&d=x=y").unwrap();
        let pairs: Vec<_> =
            pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("a", "1"), ("b", "ä %2F"), ("c", ""), ("d", "x=y")]);
        for odd in ["a=%", "a=%4", "a=%zz", "a=%ff", "%ff=1"] {
            assert!(decoded_query(odd).is_none(), "{odd}");
        }
    }
}
