//! The Explorer: a page whose files the server holds in memory, so that no name of a request ever becomes
//! a path on the disk.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::StatusCode;

use crate::reply::{Refusal, Reply};

/// What the page may do: run its own files and ask its own server. A text cannot become markup.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types layout";

/// The file that is the page itself.
pub(crate) const PAGE: &str = "index.html";
/// The names of the files that `make explorer` makes.
pub const EXPLORER_FILES: [&str; 6] =
    [PAGE, "app.js", "app.css", "icon.svg", "layout.js", "licences.md"];

/// The files of the page.
pub(crate) struct Explorer(BTreeMap<String, Bytes>);

impl Explorer {
    pub(crate) fn new(files: BTreeMap<String, Vec<u8>>) -> Self {
        Self(files.into_iter().map(|(name, data)| (name, data.into())).collect())
    }

    /// A file of the page.
    pub(crate) fn file(&self, name: &str) -> Result<Reply, Refusal> {
        let refused =
            |message, hint| Refusal::new(StatusCode::NOT_FOUND, "NoSuchPath", message, hint);
        if self.0.is_empty() {
            let hint = "run `make explorer`, which needs Node.js, and start the server again";
            return Err(refused("the Explorer was not built", hint));
        }
        let found = self.0.get(name).zip(content_type(name));
        let hint = "the page is at /";
        let (data, content_type) = found.ok_or_else(|| refused("it has no such file", hint))?;
        Ok(Reply::text(StatusCode::OK, content_type, data.clone()))
    }
}

fn content_type(name: &str) -> Option<&'static str> {
    Some(match name.rsplit_once('.')?.1 {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "md" => "text/plain; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => return None,
    })
}
