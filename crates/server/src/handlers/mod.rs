//! What each operation of the document does, by its name there.

mod database;
mod edges;
mod nodes;
mod queries;
mod transaction;

use embedded_db_engine::Database;
use embedded_db_engine::common::{Error, Result, Value};

use crate::fields::Fields;
use crate::reply::Reply;
use crate::requests::Bounds;
use crate::shared::Shared;

/// One call of an operation, with a form that the document allows.
pub(crate) struct Call<'a> {
    pub(crate) shared: &'a Shared,
    /// The namespace that it is about.
    pub(crate) db: Database,
    /// Of path and query.
    pub(crate) parameters: Fields<'a>,
    pub(crate) body: &'a Value,
    /// Fails when nobody waits for the answer any more, or for too long.
    pub(crate) interrupted: &'a dyn Fn() -> Result<()>,
}

impl Call<'_> {
    fn id(&self) -> &str {
        self.parameters.required("id")
    }

    fn fields(&self) -> Fields<'_> {
        Fields::of_any(self.body)
    }

    fn space(&self) -> Option<&str> {
        self.shared.options.embedding_space.as_deref()
    }

    fn bounds(&self) -> Bounds<'_> {
        Bounds { time: self.shared.options.limits.request_time, space: self.space() }
    }
}

fn missing<T>(kind: &'static str, id: &str) -> Result<T> {
    Err(Error::NotFound { kind, id: id.to_owned() })
}

/// What an operation does.
pub(crate) type Handler = fn(&Call<'_>) -> Result<Reply>;

/// How an operation is done.
#[derive(Clone, Copy)]
pub(crate) enum Work {
    /// It takes microseconds: where the request was read.
    Short(Handler),
    /// It may take long, or waits for the disk: on a thread of its own.
    Long(Handler),
    /// A WebSocket with what is stored.
    ChangesStream,
    /// A WebSocket with what the weaver does.
    WeaverStream,
    /// What is stored, once there is something.
    Changes,
    /// What the token of the request may do.
    Access,
    /// A file of the page.
    Explorer,
}

/// The operations. The document and this table name the same, or the server does not start.
const OPERATIONS: &[(&str, Work)] = &[
    ("create_node", Work::Long(nodes::create)),
    ("create_nodes", Work::Long(nodes::create_many)),
    ("nodes", Work::Long(nodes::page)),
    ("get_node", Work::Short(nodes::get)),
    ("get_many", Work::Long(nodes::get_many)),
    ("update_node", Work::Long(nodes::update)),
    ("delete_node", Work::Long(nodes::delete)),
    ("set_expiry", Work::Long(nodes::set_expiry)),
    ("status", Work::Short(nodes::status)),
    ("neighbors", Work::Long(nodes::neighbors)),
    ("count", Work::Long(nodes::count)),
    ("create_chat", Work::Long(nodes::create_chat)),
    ("add_messages", Work::Long(nodes::add_messages)),
    ("messages", Work::Long(nodes::messages)),
    ("create_edge", Work::Long(edges::create)),
    ("create_edges", Work::Long(edges::create_many)),
    ("edges", Work::Long(edges::page)),
    ("get_edge", Work::Short(edges::get)),
    ("edge_history", Work::Long(edges::history)),
    ("update_edge", Work::Long(edges::update)),
    ("retract_edge", Work::Long(edges::retract)),
    ("delete_edge", Work::Long(edges::delete)),
    ("count_edges", Work::Long(edges::count)),
    ("create_embedding", Work::Long(edges::create_embedding)),
    ("set_embeddings", Work::Long(edges::set_embeddings)),
    ("get_embedding", Work::Short(edges::get_embedding)),
    ("get_embedding_for_node", Work::Long(edges::embedding_of_node)),
    ("get_embeddings_for_node", Work::Long(edges::embeddings_of_node)),
    ("update_embedding", Work::Long(edges::update_embedding)),
    ("delete_embedding", Work::Long(edges::delete_embedding)),
    ("query", Work::Long(queries::query)),
    ("count_matching", Work::Long(queries::count_matching)),
    ("group_count", Work::Long(queries::group_count)),
    ("search", Work::Long(queries::search)),
    ("recall", Work::Long(queries::recall)),
    ("find_shortest_path", Work::Long(queries::path)),
    ("traverse", Work::Long(queries::traverse)),
    ("tokens", Work::Long(queries::tokens)),
    ("transaction", Work::Long(transaction::transaction)),
    ("changes", Work::Changes),
    ("changes_stream", Work::ChangesStream),
    ("weaver_status", Work::Long(database::weaver_status)),
    ("weaver_stream", Work::WeaverStream),
    ("access", Work::Access),
    ("stats", Work::Long(database::stats)),
    ("indexes", Work::Long(database::indexes)),
    ("create_index", Work::Long(database::create_index)),
    ("drop_index", Work::Long(database::drop_index)),
    ("namespaces", Work::Long(database::namespaces)),
    ("namespace", Work::Long(database::make_namespace)),
    ("drop_namespace", Work::Long(database::drop_namespace)),
    ("spaces", Work::Long(database::spaces)),
    ("health", Work::Long(database::health)),
    ("livez", Work::Short(database::livez)),
    ("readyz", Work::Short(database::readyz)),
    ("metrics", Work::Long(database::metrics)),
    ("openapi", Work::Short(database::openapi)),
    ("explorer", Work::Explorer),
    ("explorer_file", Work::Explorer),
];

/// What the operation of this name does.
pub(crate) fn find(operation: &str) -> Option<Work> {
    OPERATIONS.iter().find(|(name, _)| *name == operation).map(|(_, work)| *work)
}

/// The name of an operation, for as long as the program runs.
pub(crate) fn name(operation: &str) -> &'static str {
    OPERATIONS.iter().find(|(name, _)| *name == operation).map_or("", |(name, _)| name)
}

pub(crate) use database::write_status;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    #[test]
    fn document_and_table_name_the_same_operations() {
        let document = Document::read().unwrap();
        let mut described: Vec<&str> =
            document.routes.iter().map(|it| it.operation.as_str()).collect();
        let mut done: Vec<&str> = OPERATIONS.iter().map(|(name, _)| *name).collect();
        described.sort_unstable();
        done.sort_unstable();
        assert_eq!(described, done);
    }

    #[test]
    fn only_what_tells_nothing_of_the_data_needs_no_token() {
        let document = Document::read().unwrap();
        let open = document.routes.iter().filter(|it| it.scope.is_none());
        let (anywhere, near): (Vec<_>, Vec<_>) = open.partition(|it| it.open);
        let paths = |of: Vec<&crate::document::Route>| -> Vec<String> {
            of.into_iter().map(|it| it.path.clone()).collect()
        };
        assert_eq!(paths(near), ["/health", "/livez", "/readyz", "/metrics", "/openapi.json"]);
        assert_eq!(paths(anywhere), ["/", "/explorer/{file}"]);
        for route in &document.routes {
            let writes = route.scope == Some(crate::tokens::Scope::Write);
            let asks = ["query", "search", "recall", "path", "traverse", "lookup"];
            let reads = route.method == "GET" || asks.iter().any(|it| route.path.contains(it));
            assert_ne!(writes, reads, "{} {}", route.method, route.path);
        }
    }
}
