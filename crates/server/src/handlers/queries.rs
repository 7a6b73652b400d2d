//! Queries, questions, recall and walks.

use embedded_db_engine::Placed;
use embedded_db_engine::common::{AXES, Error, Result, Token};

use super::Call;
use crate::json::Writer;
use crate::reply::Reply;
use crate::requests::{
    as_of, query as read_query, reach, recall as read_recall, search as read_search,
};

/// Tokens that are given, unless it is said how many.
const TOKENS: usize = 1_000;
/// Nodes that a walk meets at most, unless it says otherwise.
const VISITED: usize = 1_000_000;

pub(super) fn query(call: &Call<'_>) -> Result<Reply> {
    let given = call.fields();
    let query = read_query(&given, call.bounds())?;
    let held = &call.shared.cursors;
    let after = given.text("after").map(|name| held.get(name)).transpose()?;
    let answer = call.db.query(&query, after.as_deref(), call.interrupted)?;
    let next = answer.cursor.as_ref().map(|cursor| held.keep(cursor));
    Reply::object(|out| out.answer(&answer, next.as_deref()))
}

pub(super) fn count_matching(call: &Call<'_>) -> Result<Reply> {
    let query = read_query(&call.fields(), call.bounds())?;
    let count = call.db.count_matching(&query, call.interrupted)?;
    Reply::object(|out| {
        out.name("count").int(count);
        Ok(())
    })
}

pub(super) fn group_count(call: &Call<'_>) -> Result<Reply> {
    let given = call.fields();
    let query = given.fields("query").map(|it| read_query(&it, call.bounds())).transpose()?;
    let query = query.ok_or_else(|| Error::query("query", "it is missing; give one"))?;
    let groups = call.db.group_count(&query, given.required("property"), call.interrupted)?;
    Reply::object(|out| {
        out.name("groups").list(|out| {
            groups.iter().try_for_each(|(value, count)| {
                out.object(|out| {
                    match value {
                        Some(value) => out.name("value").owned(value)?,
                        None => out.name("value").null(),
                    }
                    out.name("count").int(count);
                    Ok(())
                })
            })
        })
    })
}

pub(super) fn search(call: &Call<'_>) -> Result<Reply> {
    let search = read_search(&call.fields(), call.bounds())?;
    let found = call.db.search(&search, call.interrupted)?;
    Reply::object(|out| {
        out.answer(&found.answer, None)?;
        let of = &found.analysis;
        out.name("analysis").object(|out| {
            out.name("profile").text(of.profile);
            out.name("terms").texts(&of.terms);
            out.name("names").texts(&of.names);
            out.name("dates").texts(&of.dates);
            out.name("embedded").optional(of.embedded.as_deref(), Writer::text);
            Ok(())
        })
    })
}

pub(super) fn recall(call: &Call<'_>) -> Result<Reply> {
    let recall = read_recall(&call.fields(), call.bounds())?;
    let answer = call.db.recall(&recall, call.interrupted)?;
    Reply::object(|out| out.answer(&answer, None))
}

/// Tokens of nodes; of more than are asked for some that are spread evenly over them.
pub(super) fn tokens(call: &Call<'_>) -> Result<Reply> {
    let of = &call.parameters;
    let which = Placed { space: None, organised: of.flag("organised") };
    let all = call.db.tokens(which, call.interrupted)?;
    let limit = of.size("limit").unwrap_or(TOKENS);
    let chosen: Vec<&Token> = match all.len() {
        total if total <= limit => all.iter().collect(),
        total => (0..limit).map(|at| &all[at * total / limit]).collect(),
    };
    let slots: Vec<u64> = chosen.iter().map(|token| token.id).collect();
    let ids: Vec<String> =
        call.db.token_ids(&slots)?.into_iter().map(Option::unwrap_or_default).collect();
    let nodes = call.db.get_many(&ids)?;
    Reply::object(|out| {
        out.name("axes").texts(AXES);
        out.name("total").int(all.len());
        out.name("tokens").list(|out| {
            // One whose node has gone meanwhile is left out.
            let there =
                chosen.iter().zip(&nodes).filter_map(|(token, node)| Some((token, node.as_ref()?)));
            there.into_iter().try_for_each(|(token, node)| {
                out.object(|out| {
                    out.name("id").text(&node.id()?);
                    out.name("labels").texts(node.labels()?);
                    out.name("coordinates").list(|out| {
                        token.coordinates.iter().for_each(|it| out.float32(*it));
                        Ok(())
                    })
                })
            })
        })
    })
}

pub(super) fn path(call: &Call<'_>) -> Result<Reply> {
    let given = call.fields();
    let types = given.given_texts("edge_types");
    let path = call.db.shortest_path(
        given.required("start"),
        given.required("end"),
        types.as_deref(),
        reach(&given, "any")?,
        as_of(&given),
        given.size("max_hops"),
        given.flag("weighted"),
        given.size("max_visited").unwrap_or(VISITED),
        call.interrupted,
    )?;
    Reply::object(|out| match &path {
        Some(path) => out.name("path").path(path),
        None => {
            out.name("path").null();
            Ok(())
        }
    })
}

pub(super) fn traverse(call: &Call<'_>) -> Result<Reply> {
    let given = call.fields();
    let types = given.given_texts("edge_types");
    let visits = call.db.traverse(
        given.required("start"),
        types.as_deref(),
        reach(&given, "any")?,
        as_of(&given),
        given.size("max_depth").unwrap_or(3),
        given.flag("depth_first"),
        given.size("limit").unwrap_or(1000),
        given.size("max_visited").unwrap_or(VISITED),
        call.interrupted,
    )?;
    Reply::object(|out| {
        out.name("visits").list(|out| {
            visits.iter().try_for_each(|(node, depth)| {
                out.object(|out| {
                    out.name("node").node(node)?;
                    out.name("depth").int(depth);
                    Ok(())
                })
            })
        })
    })
}
