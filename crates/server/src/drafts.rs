//! Nodes, edges, embeddings and chats on their way in.

use embedded_db_engine::common::{Draft, Error, MAX_PROPERTIES, Result, Value};
use embedded_db_engine::{
    Changes, EdgeChanges, EdgeDraft, EmbeddingDraft, Expiry, GivenVector, NodeDraft,
};

use crate::fields::Fields;
use crate::json::decoded;

/// The embedding space of vectors that name none; the database's own when there is none.
pub(crate) type Space<'a> = Option<&'a str>;

fn set(out: &mut Draft, name: &str, json: &Value) -> Result<()> {
    let value = decoded(json).map_err(|error| error.of_property(name))?;
    out.set(name, &value).map_err(|error| error.of_property(name))?;
    if out.size() > MAX_PROPERTIES {
        let what = format!("the sum of the properties up to {name:?}");
        return Err(Error::ValueTooLarge { what, size: out.size(), limit: MAX_PROPERTIES });
    }
    Ok(())
}

fn properties(given: &Fields<'_>, name: &str) -> Result<Draft> {
    let mut out = Draft::new();
    let entries = given.fields(name);
    entries.iter().flat_map(Fields::iter).try_for_each(|(name, json)| set(&mut out, name, json))?;
    Ok(out)
}

/// When it expires, by `ttl` in seconds or `expires_at`.
pub(crate) fn expiry(given: &Fields<'_>) -> Result<Expiry> {
    match (given.number("ttl"), given.time("expires_at")) {
        (Some(_), Some(_)) => {
            Err(Error::InvalidInput("ttl and expires_at are both given; give one of them".into()))
        }
        (Some(ttl), None) => Ok(Expiry::After(((ttl * 1e6).round() as i64).max(1))),
        (None, Some(at)) => Ok(Expiry::At(at)),
        (None, None) => Ok(Expiry::Never),
    }
}

fn given_vector(given: &Fields<'_>, usual: Space<'_>) -> Result<Option<GivenVector>> {
    let space = given.owned("embedding_space");
    match given.vector("embedding") {
        Some(numbers) => {
            let space = space.or_else(|| usual.map(str::to_owned));
            Ok(Some(GivenVector { space, numbers }))
        }
        None if space.is_some() => Err(Error::InvalidInput(
            "an embedding_space is given, but no embedding; give both or none".into(),
        )),
        None => Ok(None),
    }
}

pub(crate) fn node(given: &Fields<'_>, space: Space<'_>) -> Result<NodeDraft> {
    Ok(NodeDraft {
        id: given.owned("id"),
        labels: given.texts("labels"),
        properties: properties(given, "properties")?,
        expiry: expiry(given)?,
        embedding: given_vector(given, space)?,
    })
}

/// A chat or a message: some of its properties have fields of their own.
fn flat(given: &Fields<'_>, own: &[&str], times: &[&str], space: Space<'_>) -> Result<NodeDraft> {
    let mut properties = properties(given, "properties")?;
    for name in own {
        given.get(name).map_or(Ok(()), |value| properties.set(name, value))?;
    }
    for name in times {
        given.time(name).map_or(Ok(()), |at| properties.set(name, &Value::Time(at)))?;
    }
    let mut draft = NodeDraft::unlabelled(given.owned("id"), properties);
    draft.expiry = expiry(given)?;
    draft.embedding = given_vector(given, space)?;
    Ok(draft)
}

pub(crate) fn chat(given: &Fields<'_>) -> Result<NodeDraft> {
    flat(given, &["title", "topic"], &[], None)
}

pub(crate) fn message(given: &Fields<'_>, space: Space<'_>) -> Result<NodeDraft> {
    let mut draft = flat(given, &["content", "sender", "role"], &["timestamp"], space)?;
    if given.get("role").is_none() {
        draft.properties.set("role", &Value::Str("user".into()))?;
    }
    Ok(draft)
}

pub(crate) fn edge(given: &Fields<'_>) -> Result<EdgeDraft> {
    Ok(EdgeDraft {
        id: given.owned("id"),
        source: given.required("source").to_owned(),
        target: given.required("target").to_owned(),
        edge_type: given.required("type").to_owned(),
        properties: properties(given, "properties")?,
        weight: given.number("weight").unwrap_or(1.0),
        valid_from: given.time("valid_from"),
        valid_to: given.time("valid_to"),
        sources: given.texts("sources"),
    })
}

pub(crate) fn changes(given: &Fields<'_>) -> Result<Changes> {
    Ok(Changes { set: properties(given, "set")?, remove: given.texts("remove") })
}

pub(crate) fn edge_changes(given: &Fields<'_>) -> Result<EdgeChanges> {
    let time = |name: &str| given.time(name).map(Some).or(given.is_null(name).then_some(None));
    Ok(EdgeChanges {
        properties: changes(given)?,
        weight: given.number("weight"),
        valid_from: time("valid_from"),
        valid_to: time("valid_to"),
    })
}

pub(crate) fn embedding(given: &Fields<'_>, space: Space<'_>) -> EmbeddingDraft {
    EmbeddingDraft {
        id: given.owned("id"),
        node_id: given.required("node_id").to_owned(),
        space: given.owned("space").or_else(|| space.map(str::to_owned)),
        vector: given.vector("vector").unwrap_or_default(),
    }
}

/// The items of a batch; an error says with which one it was.
pub(crate) fn items<T>(
    given: &Fields<'_>,
    name: &str,
    make: impl Fn(&Fields<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let items = given.list(name).unwrap_or_default().iter().enumerate();
    items.map(|(at, item)| make(&Fields::of_any(item)).map_err(|error| error.of_item(at))).collect()
}
