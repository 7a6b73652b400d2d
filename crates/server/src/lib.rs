//! The database over HTTP: REST, and WebSockets for what changes.
//!
//! [`Server::start`] serves an open database on threads of its own. `openapi.json` is the table of routes: what
//! a request needs and may hold is read from there ([`document`](self)), so that the document which clients see
//! says what the server does. A request passes `gate` (who is called, from which page, by whom), is read and
//! checked (`dispatch`, `schema`), and becomes calls of the engine (`handlers`); Python is only met where a text
//! has to be embedded, behind the trait of the model functions.

mod cursors;
mod dispatch;
mod document;
mod drafts;
mod explorer;
mod feeds;
mod fields;
mod figures;
mod gate;
mod handlers;
mod json;
mod lines;
mod objects;
mod options;
mod reply;
mod requests;
mod schema;
mod server;
mod shared;
mod streams;
mod tokens;

pub use explorer::EXPLORER_FILES;
pub use lines::json_line;
pub use options::{Limits, Options, address};
pub use server::Server;
pub use tokens::{Grant, Scope, Tokens};
