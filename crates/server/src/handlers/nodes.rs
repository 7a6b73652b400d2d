//! Nodes, chats and messages.

use embedded_db_engine::common::{Error, Result};
use embedded_db_engine::{AddTo, ArtefactState, Begin, Node};

use super::{Call, missing};
use crate::drafts::{changes, chat, expiry, items, message, node};
use crate::fields::Fields;
use crate::json::Writer;
use crate::reply::Reply;
use crate::requests::{as_of, reach};

/// Items of a page that says nothing of it.
const PAGE: usize = 100;

pub(super) fn limit(call: &Call<'_>) -> usize {
    call.parameters.size("limit").unwrap_or(PAGE)
}

pub(super) fn types(call: &Call<'_>) -> Option<Vec<String>> {
    call.parameters.given_texts("type").filter(|types| !types.is_empty())
}

fn reply(node: &Node) -> Result<Reply> {
    Reply::json(axum::http::StatusCode::OK, |out| out.node(node))
}

pub(super) fn create(call: &Call<'_>) -> Result<Reply> {
    let id = call.db.create_node(node(&call.fields(), call.space())?)?;
    Reply::created(|out| {
        out.name("id").text(&id);
        Ok(())
    })
}

pub(super) fn create_many(call: &Call<'_>) -> Result<Reply> {
    let drafts = items(&call.fields(), "nodes", |given| node(given, call.space()))?;
    let ids = call.db.create_nodes(drafts)?;
    Reply::created(|out| {
        out.name("ids").texts(&ids);
        Ok(())
    })
}

pub(super) fn page(call: &Call<'_>) -> Result<Reply> {
    let (label, after, limit) =
        (call.parameters.text("label"), call.parameters.text("after"), limit(call));
    let nodes = call.db.nodes(label, after, limit)?;
    let next = nodes.last().filter(|_| nodes.len() == limit).map(Node::id).transpose()?;
    Reply::object(|out| {
        out.name("nodes").nodes(&nodes)?;
        out.name("next").optional(next.as_deref(), Writer::text);
        Ok(())
    })
}

pub(super) fn get(call: &Call<'_>) -> Result<Reply> {
    match call.db.get_node(call.id())? {
        Some(node) => reply(&node),
        None => missing("node", call.id()),
    }
}

pub(super) fn get_many(call: &Call<'_>) -> Result<Reply> {
    let nodes = call.db.get_many(&call.fields().texts("ids"))?;
    Reply::object(|out| {
        out.name("nodes").list(|out| {
            nodes.iter().try_for_each(|node| match node {
                Some(node) => out.node(node),
                None => {
                    out.null();
                    Ok(())
                }
            })
        })
    })
}

/// With a version, only a node that still has it.
pub(super) fn update(call: &Call<'_>) -> Result<Reply> {
    let (given, id) = (call.fields(), call.id());
    let changes = changes(&given)?;
    let Some(expected) = given.size::<u64>("version") else {
        return reply(&call.db.update_node(id, changes, None)?);
    };
    let Some(seen) = call.db.get_node(id)? else { return missing("node", id) };
    let found = seen.version()?;
    if found != expected {
        return Err(Error::Conflict { kind: "node", id: id.to_owned(), expected, found });
    }
    reply(&call.db.update_node(id, changes, Some(&seen))?)
}

pub(super) fn delete(call: &Call<'_>) -> Result<Reply> {
    call.db.delete_node(call.id(), None)?;
    Ok(Reply::done())
}

pub(super) fn set_expiry(call: &Call<'_>) -> Result<Reply> {
    reply(&call.db.set_expiry(call.id(), expiry(&call.fields())?)?)
}

pub(super) fn status(call: &Call<'_>) -> Result<Reply> {
    let states = call.db.artefact_status(call.id())?;
    Reply::object(|out| {
        states.into_iter().try_for_each(|(artefact, state)| {
            let (state, error) = match state {
                ArtefactState::Pending => ("pending", None),
                ArtefactState::Ready => ("ready", None),
                ArtefactState::Failed(error) => ("failed", Some(error)),
            };
            out.name(artefact).object(|out| {
                out.name("state").text(state);
                out.name("error").optional(error.as_deref(), Writer::text);
                Ok(())
            })
        })
    })
}

pub(super) fn neighbors(call: &Call<'_>) -> Result<Reply> {
    let (of, types) = (&call.parameters, types(call));
    let page = call.db.neighbors(
        call.id(),
        types.as_deref(),
        reach(of, "out")?,
        as_of(of),
        of.text("after"),
        limit(call),
    )?;
    Reply::object(|out| {
        out.name("nodes").nodes(&page.items)?;
        out.name("next").optional(page.next.as_deref(), Writer::text);
        Ok(())
    })
}

pub(super) fn count(call: &Call<'_>) -> Result<Reply> {
    let count = call.db.count(call.parameters.text("label"))?;
    Reply::object(|out| {
        out.name("count").int(count);
        Ok(())
    })
}

pub(super) fn create_chat(call: &Call<'_>) -> Result<Reply> {
    let made = call.db.create_chat(chat(&call.fields())?)?;
    Reply::json(axum::http::StatusCode::CREATED, |out| out.node(&made))
}

pub(super) fn add_messages(call: &Call<'_>) -> Result<Reply> {
    let given: Fields<'_> = call.fields();
    let to = if given.flag("must_exist") { AddTo::ChatThatExists } else { AddTo::AnyChat };
    let drafts = items(&given, "messages", |given| message(given, call.space()))?;
    let made = call.db.add_messages(call.id(), drafts, to)?;
    Reply::created(|out| out.name("messages").nodes(&made))
}

pub(super) fn messages(call: &Call<'_>) -> Result<Reply> {
    let newest_first = call.parameters.flag("newest_first");
    let begin = call.parameters.text("after").map_or(Begin::AtTheEnd, Begin::Behind);
    let page = call.db.messages(call.id(), begin, newest_first, limit(call))?;
    let last = page.items.last().filter(|_| page.more).map(|(node, _)| node.id()).transpose()?;
    Reply::object(|out| {
        out.name("messages").nodes(page.items.iter().map(|(node, _)| node))?;
        out.name("next").optional(last.as_deref(), Writer::text);
        Ok(())
    })
}
