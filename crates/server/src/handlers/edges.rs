//! Edges and embeddings.

use axum::http::StatusCode;
use embedded_db_engine::common::Result;
use embedded_db_engine::{Edge, Embedding};

use super::nodes::{limit, types};
use super::{Call, missing};
use crate::drafts::{edge, edge_changes, embedding, items};
use crate::fields::Fields;
use crate::json::Writer;
use crate::reply::Reply;
use crate::requests::{as_of, reach};

fn reply(edge: &Edge) -> Result<Reply> {
    Reply::json(StatusCode::OK, |out| out.edge(edge))
}

fn ids(ids: &[String]) -> Result<Reply> {
    Reply::created(|out| {
        out.name("ids").texts(ids);
        Ok(())
    })
}

fn id(id: &str) -> Result<Reply> {
    Reply::created(|out| {
        out.name("id").text(id);
        Ok(())
    })
}

pub(super) fn create(call: &Call<'_>) -> Result<Reply> {
    id(&call.db.create_edge(edge(&call.fields())?)?)
}

pub(super) fn create_many(call: &Call<'_>) -> Result<Reply> {
    ids(&call.db.create_edges(items(&call.fields(), "edges", edge)?)?)
}

pub(super) fn page(call: &Call<'_>) -> Result<Reply> {
    let (of, types) = (&call.parameters, types(call));
    let page = call.db.edges(
        call.id(),
        types.as_deref(),
        reach(of, "out")?,
        as_of(of),
        of.text("after"),
        limit(call),
    )?;
    Reply::object(|out| {
        out.name("edges").edges(&page.items)?;
        out.name("next").optional(page.next.as_deref(), Writer::text);
        Ok(())
    })
}

pub(super) fn get(call: &Call<'_>) -> Result<Reply> {
    match call.db.get_edge(call.id(), as_of(&call.parameters))? {
        Some(edge) => reply(&edge),
        None => missing("edge", call.id()),
    }
}

pub(super) fn history(call: &Call<'_>) -> Result<Reply> {
    let versions = call.db.edge_history(call.id())?;
    Reply::object(|out| out.name("edges").edges(&versions))
}

pub(super) fn update(call: &Call<'_>) -> Result<Reply> {
    reply(&call.db.update_edge(call.id(), edge_changes(&call.fields())?, None)?)
}

pub(super) fn retract(call: &Call<'_>) -> Result<Reply> {
    call.db.retract_edge(call.id())?;
    Ok(Reply::done())
}

pub(super) fn delete(call: &Call<'_>) -> Result<Reply> {
    call.db.delete_edge(call.id())?;
    Ok(Reply::done())
}

pub(super) fn count(call: &Call<'_>) -> Result<Reply> {
    let count = call.db.count_edges(call.parameters.text("type"))?;
    Reply::object(|out| {
        out.name("count").int(count);
        Ok(())
    })
}

fn found(call: &Call<'_>, found: Option<Embedding>) -> Result<Reply> {
    match found {
        Some(embedding) => Reply::json(StatusCode::OK, |out| out.embedding(&embedding)),
        None => missing("embedding", call.id()),
    }
}

pub(super) fn create_embedding(call: &Call<'_>) -> Result<Reply> {
    id(&call.db.create_embedding(embedding(&call.fields(), call.space()))?)
}

pub(super) fn set_embeddings(call: &Call<'_>) -> Result<Reply> {
    let make = |given: &Fields<'_>| Ok(embedding(given, call.space()));
    ids(&call.db.create_embeddings(items(&call.fields(), "embeddings", make)?)?)
}

pub(super) fn get_embedding(call: &Call<'_>) -> Result<Reply> {
    found(call, call.db.get_embedding(call.id())?)
}

pub(super) fn embedding_of_node(call: &Call<'_>) -> Result<Reply> {
    let space = call.parameters.text("space").or(call.space());
    let embedding = call.db.embedding_of(call.id(), space)?;
    found(call, embedding)
}

pub(super) fn embeddings_of_node(call: &Call<'_>) -> Result<Reply> {
    let space = call.parameters.text("space").or(call.space());
    let parts = call.db.embeddings(call.id(), space)?;
    Reply::object(|out| {
        out.name("embeddings").list(|out| parts.iter().try_for_each(|part| out.embedding(part)))
    })
}

pub(super) fn update_embedding(call: &Call<'_>) -> Result<Reply> {
    let numbers = call.fields().vector("vector").unwrap_or_default();
    call.db.update_embedding(call.id(), numbers)?;
    found(call, call.db.get_embedding(call.id())?)
}

pub(super) fn delete_embedding(call: &Call<'_>) -> Result<Reply> {
    call.db.delete_embedding(call.id())?;
    Ok(Reply::done())
}
