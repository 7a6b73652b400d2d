//! Answers, and errors as answers.

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, StatusCode, header};
use embedded_db_engine::common::{Error, Result, shortened};

use crate::json::Writer;

/// Most bytes of a message: an id or a name in it may be of any length.
const LONGEST: usize = 2000;

/// What a handler answers.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    content_type: Option<&'static str>,
    body: Bytes,
}

impl Reply {
    /// What `write` writes.
    pub(crate) fn json(
        status: StatusCode,
        write: impl FnOnce(&mut Writer) -> Result<()>,
    ) -> Result<Self> {
        let mut out = Writer::default();
        write(&mut out)?;
        Ok(Self { status, content_type: Some("application/json"), body: out.end().into() })
    }

    /// An object.
    pub(crate) fn object(write: impl FnOnce(&mut Writer) -> Result<()>) -> Result<Self> {
        Self::json(StatusCode::OK, |out| out.object(write))
    }

    /// An object for something that was made.
    pub(crate) fn created(write: impl FnOnce(&mut Writer) -> Result<()>) -> Result<Self> {
        Self::json(StatusCode::CREATED, |out| out.object(write))
    }

    /// That it is done.
    pub(crate) fn done() -> Self {
        Self { status: StatusCode::NO_CONTENT, content_type: None, body: Bytes::new() }
    }

    pub(crate) fn text(
        status: StatusCode,
        content_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Self {
        Self { status, content_type: Some(content_type), body: body.into() }
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        if let Some(kind) = self.content_type {
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        response
    }
}

/// Why a request was not done.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The database said so.
    Database(Error),
    /// The server said so, before the database was asked.
    Http(Http),
}

/// What the server refuses by itself.
#[derive(Debug)]
pub(crate) struct Http {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) hint: &'static str,
    /// Seconds after which it may be tried again.
    pub(crate) retry_after: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
        hint: &'static str,
    ) -> Self {
        Self::Http(Http { status, code, message: message.into(), hint, retry_after: None })
    }

    pub(crate) fn later(
        status: StatusCode,
        code: &'static str,
        message: &str,
        hint: &'static str,
        seconds: u64,
    ) -> Self {
        let message = message.into();
        Self::Http(Http { status, code, message, hint, retry_after: Some(seconds) })
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Http(http) => http.status,
            Self::Database(error) => status(error),
        }
    }

    /// Its name.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Http(http) => http.code,
            Self::Database(error) => error.code(),
        }
    }

    /// What the log says of it, beside its status and its name: of files what the system says, and of all else
    /// nothing, for names and texts of users may be in it. Only of what is not the caller's to mend.
    pub(crate) fn detail(&self) -> Option<String> {
        match self {
            Self::Database(error) if self.status().is_server_error() => {
                let is_of_files = matches!(
                    error.bare(),
                    Error::StorageFull { .. }
                        | Error::StorageError { .. }
                        | Error::RecoveryNeeded { .. }
                        | Error::DamagedFile { .. }
                        | Error::DatabaseClosed { .. }
                        | Error::DatabaseLocked { .. }
                        | Error::HeldElsewhere { .. }
                        | Error::OutcomeUnknown { .. }
                        | Error::ForkedHandle { .. }
                        | Error::FormatTooNew { .. }
                );
                Some(if is_of_files { error.to_string() } else { String::new() })
            }
            _ => None,
        }
    }

    /// The answer. What it says of files and of defects stays in the log.
    pub(crate) fn into_reply(self, request_id: &str) -> Reply {
        let status = self.status();
        let mut out = Writer::default();
        let _written: std::result::Result<(), ()> = out.object(|out| {
            match &self {
                Self::Http(http) => {
                    out.name("code").text(http.code);
                    out.name("message").text(&http.message);
                    out.name("hint").text(http.hint);
                    out.name("retryable").flag(http.retry_after.is_some());
                    out.name("details").object(|_| Ok(()))?;
                }
                Self::Database(error) => described(out, error)?,
            }
            out.name("request_id").text(request_id);
            Ok(())
        });
        Reply { status, content_type: Some("application/json"), body: out.end().into() }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

fn described(out: &mut Writer, error: &Error) -> std::result::Result<(), ()> {
    let inside = matches!(
        error.bare(),
        Error::StorageFull { .. }
            | Error::StorageError { .. }
            | Error::RecoveryNeeded { .. }
            | Error::Corruption { .. }
            | Error::DamagedFile { .. }
            | Error::DatabaseClosed { .. }
            | Error::DatabaseLocked { .. }
            | Error::HeldElsewhere { .. }
            | Error::ForkedHandle { .. }
            | Error::ReadOnly { .. }
            | Error::FormatTooNew { .. }
            | Error::Internal(_)
            | Error::EnrichmentFailed { .. }
            | Error::LeftBehind { .. }
            | Error::ModelUnavailable { .. }
    );
    let message = match error.bare() {
        Error::ReadOnly { .. } => "the database is served for reading only".into(),
        Error::StorageFull { .. } => {
            "there is no room on the disk; make room on the server's disk".into()
        }
        Error::ModelUnavailable { .. } => {
            "the server has no model that could embed a text; give a vector, or ask by words alone"
                .into()
        }
        Error::OutcomeUnknown { .. } => {
            "the process that writes has not answered: it was done as a whole or \
             not at all; look, and make it again if it was not"
                .into()
        }
        _ if inside => format!("{}; the server's log says more", error.code()),
        _ => shortened(&error.to_string(), LONGEST).to_string(),
    };
    out.name("code").text(error.code());
    out.name("message").text(&message);
    out.name("hint").optional(message.rsplit_once("; ").map(|(_, hint)| hint), Writer::text);
    out.name("retryable").flag(retryable(error));
    out.name("details").object(|out| {
        details(out, error);
        Ok(())
    })
}

fn retryable(error: &Error) -> bool {
    match error.bare() {
        Error::TooManyVisited { .. } => false,
        error => matches!(
            error.code(),
            "Conflict" | "SnapshotExpired" | "DatabaseLocked" | "Timeout" | "LimitReached"
        ),
    }
}

/// What a caller may look at beside the message: what the exceptions of Python have as attributes.
fn details(out: &mut Writer, error: &Error) {
    match error {
        Error::At { place, error } => {
            place.item.iter().for_each(|item| out.name("item").int(item));
            place.field.iter().for_each(|field| out.name("field").text(field));
            place.property.iter().for_each(|name| out.name("property").text(name));
            details(out, error);
        }
        Error::NotFound { kind, id } | Error::AlreadyExists { kind, id } => {
            out.name("kind").text(kind);
            out.name("id").text(id);
        }
        Error::Taken { id, .. } => out.name("id").text(id),
        Error::Conflict { kind, id, expected, found } => {
            out.name("kind").text(kind);
            out.name("id").text(id);
            out.name("expected").int(expected);
            out.name("found").int(found);
        }
        Error::InvalidQuery { field, .. } => out.name("field").text(field),
        Error::DimensionMismatch { expected, got, space } => {
            out.name("expected").int(expected);
            out.name("got").int(got);
            out.name("space").text(space);
        }
        Error::NonFiniteVector { index, .. } => out.name("index").int(index),
        Error::ValueTooLarge { limit, .. } => out.name("limit").int(limit),
        Error::QuotaExceeded { resource, namespace, used, limit } => {
            out.name("resource").text(resource.name());
            out.name("namespace").optional(namespace.as_deref(), Writer::text);
            out.name("used").int(used);
            out.name("limit").int(limit);
        }
        Error::ChangesTrimmed { oldest, .. } => out.name("oldest").int(oldest),
        Error::TooManyVisited { limit } => out.name("limit").int(limit),
        _ => {}
    }
}

fn status(error: &Error) -> StatusCode {
    match error.code() {
        "NotFound" => StatusCode::NOT_FOUND,
        "AlreadyExists" | "Conflict" => StatusCode::CONFLICT,
        "ValueTooLarge" => StatusCode::PAYLOAD_TOO_LARGE,
        "InvalidInput" | "BadText" | "InvalidQuery" | "DimensionMismatch" | "NonFiniteVector" => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        "QuotaExceeded" | "StorageFull" => StatusCode::INSUFFICIENT_STORAGE,
        "LimitReached" => StatusCode::TOO_MANY_REQUESTS,
        "ChangesTrimmed" | "SnapshotExpired" => StatusCode::GONE,
        "ReadOnly" => StatusCode::FORBIDDEN,
        "Timeout" => StatusCode::GATEWAY_TIMEOUT,
        "DatabaseClosed" | "DatabaseLocked" | "OutcomeUnknown" | "RecoveryNeeded"
        | "ModelUnavailable" | "Interrupted" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
