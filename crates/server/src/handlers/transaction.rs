//! Several writes, all or nothing.

use embedded_db_engine::common::{Error, Result};
use embedded_db_engine::{AddTo, Transaction};

use super::Call;
use crate::drafts::{changes, chat, edge, edge_changes, embedding, message, node};
use crate::fields::Fields;
use crate::json::Writer;
use crate::reply::Reply;

pub(super) fn transaction(call: &Call<'_>) -> Result<Reply> {
    let given = call.fields();
    let operations = given.list("operations").unwrap_or_default();
    let mut tx = call.db.transaction()?;
    let mut ids = Vec::with_capacity(operations.len());
    for (at, operation) in operations.iter().enumerate() {
        let done = apply(&mut tx, &Fields::of_any(operation), call.space());
        ids.push(done.map_err(|error| error.of_item(at))?);
        (call.interrupted)()?;
    }
    tx.commit()?;
    Reply::object(|out| {
        out.name("ids").list(|out| {
            ids.iter().for_each(|id| out.optional(id.as_deref(), Writer::text));
            Ok(())
        })
    })
}

/// Does one of them; returns the id of what it made.
fn apply(tx: &mut Transaction, given: &Fields<'_>, space: Option<&str>) -> Result<Option<String>> {
    let id = given.required("id");
    let part = |name: &str| given.fields(name).unwrap_or(Fields::new(&[]));
    match given.required("op") {
        "create_node" => return tx.create_node(node(&part("node"), space)?).map(Some),
        "update_node" => update_node(tx, id, &part("changes"))?,
        "create_edge" => return tx.create_edge(edge(&part("edge"))?).map(Some),
        "update_edge" => tx.update_edge(id, edge_changes(&part("changes"))?)?,
        "create_embedding" => {
            return tx.create_embedding(embedding(&part("embedding"), space)).map(Some);
        }
        "create_chat" => return tx.create_chat(chat(&part("chat"))?)?.id().map(Some),
        "add_message" => {
            let message = message(&part("message"), space)?;
            let made = tx.add_message(given.required("chat_id"), message, AddTo::AnyChat)?;
            return made.id().map(Some);
        }
        "delete_node" => tx.delete_node(id)?,
        "delete_edge" => tx.delete_edge(id)?,
        "retract_edge" => tx.retract_edge(id)?,
        "delete_embedding" => tx.delete_embedding(id)?,
        other => return Err(Error::InvalidInput(format!("{other:?} is no operation"))),
    }
    Ok(None)
}

/// A transaction remembers the version that it has read: the commit compares it.
fn update_node(tx: &mut Transaction, id: &str, given: &Fields<'_>) -> Result<()> {
    if let Some(expected) = given.size::<u64>("version") {
        let seen = tx.get_node(id)?.map(|node| node.version()).transpose()?;
        let missing = || Error::NotFound { kind: "node", id: id.to_owned() };
        let found = seen.ok_or_else(missing)?;
        if found != expected {
            return Err(Error::Conflict { kind: "node", id: id.to_owned(), expected, found });
        }
    }
    tx.update_node(id, changes(given)?)
}
