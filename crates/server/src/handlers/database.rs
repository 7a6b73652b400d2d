//! The database as a whole: namespaces, indexes, figures.

use axum::http::StatusCode;
use embedded_db_engine::common::{Error, Result};
use embedded_db_engine::{IndexInfo, Level, Status};

use super::Call;
use crate::document::DOCUMENT;
use crate::json::Writer;
use crate::reply::Reply;

const PLAIN: &str = "text/plain; charset=utf-8";

/// What the weaver does.
pub(crate) fn write_status(out: &mut Writer, status: &Status) -> Result<()> {
    out.name("active_workers").int(status.active_workers);
    out.name("queue_size").int(status.queue_size);
    out.name("paused").flag(status.paused);
    out.name("last_event").text(&status.last_event);
    out.name("activity_level").text(status.activity_level);
    out.name("per_job").object(|out| {
        status.per_job.iter().try_for_each(|(job, counts)| {
            out.name(job).object(|out| {
                out.name("pending").int(counts.pending);
                out.name("running").int(counts.running);
                out.name("done").int(counts.done);
                out.name("failed").int(counts.failed);
                out.name("dead").int(counts.dead);
                Ok::<_, Error>(())
            })
        })
    })?;
    out.name("lag_seconds").float(status.lag_seconds);
    out.name("throughput").float(status.throughput);
    let Some(told) = &status.reembedding else {
        out.name("reembedding").null();
        return Ok(());
    };
    out.name("reembedding").object(|out| {
        out.name("space").text(&told.space);
        out.name("from").text(&told.from);
        out.name("done").int(told.done);
        out.name("total").int(told.total);
        out.name("failed").int(told.failed);
        Ok(())
    })
}

pub(super) fn weaver_status(call: &Call<'_>) -> Result<Reply> {
    let status = call.db.weaver_status()?;
    Reply::object(|out| write_status(out, &status))
}

pub(super) fn stats(call: &Call<'_>) -> Result<Reply> {
    let stats = call.db.stats()?;
    Reply::object(|out| {
        out.name("nodes").int(stats.nodes);
        out.name("edges").int(stats.edges);
        out.name("embeddings").int(stats.embeddings);
        out.name("lsn").int(stats.lsn);
        out.name("unsynced_commits").optional(stats.unsynced_commits, Writer::int);
        out.name("file_bytes").int(stats.file_bytes);
        out.name("view_bytes").int(stats.view_bytes);
        out.name("vectors_computed").int(stats.vectors_computed);
        out.name("vectors_reused").int(stats.vectors_reused);
        out.name("kernels").text(&stats.kernels);
        out.name("up_seconds").float(stats.up_seconds);
        Ok(())
    })
}

fn index(out: &mut Writer, info: &IndexInfo) -> Result<()> {
    out.object(|out| {
        out.name("label").text(&info.label);
        out.name("property").text(&info.property);
        out.name("unique").flag(info.unique);
        out.name("state").text(info.state);
        out.name("entries").int(info.entries);
        out.name("error").optional((!info.error.is_empty()).then_some(&*info.error), Writer::text);
        Ok(())
    })
}

pub(super) fn indexes(call: &Call<'_>) -> Result<Reply> {
    let found = call.db.indexes(call.interrupted)?;
    Reply::object(|out| {
        out.name("indexes").list(|out| found.iter().try_for_each(|it| index(out, it)))
    })
}

pub(super) fn create_index(call: &Call<'_>) -> Result<Reply> {
    let given = call.fields();
    let (label, property) = (given.required("label"), given.required("property"));
    let made = call.db.create_index(label, property, given.flag("unique"), call.interrupted)?;
    Reply::json(StatusCode::CREATED, |out| index(out, &made))
}

pub(super) fn drop_index(call: &Call<'_>) -> Result<Reply> {
    let of = &call.parameters;
    call.db.drop_index(of.required("label"), of.required("property"))?;
    Ok(Reply::done())
}

pub(super) fn namespaces(call: &Call<'_>) -> Result<Reply> {
    let names = call.db.namespaces()?;
    Reply::object(|out| {
        out.name("namespaces").texts(&names);
        Ok(())
    })
}

pub(super) fn make_namespace(call: &Call<'_>) -> Result<Reply> {
    call.db.namespace(call.parameters.required("name"))?;
    Ok(Reply::done())
}

pub(super) fn drop_namespace(call: &Call<'_>) -> Result<Reply> {
    call.db.drop_namespace(call.parameters.required("name"))?;
    Ok(Reply::done())
}

pub(super) fn spaces(call: &Call<'_>) -> Result<Reply> {
    let spaces = call.db.spaces()?;
    Reply::object(|out| {
        out.name("spaces").list(|out| {
            spaces.iter().try_for_each(|(space, default, state)| {
                out.object(|out| {
                    out.name("name").text(&space.name);
                    out.name("model").text(&space.model);
                    out.name("provider").text(&space.provider);
                    out.name("precision").text(&space.precision);
                    out.name("dim").int(space.dimension);
                    out.name("metric").text(&space.metric);
                    out.name("default").flag(*default);
                    out.name("state").text(state);
                    Ok(())
                })
            })
        })
    })
}

/// What `health` finds, without what its sentences say of paths.
pub(super) fn health(call: &Call<'_>) -> Result<Reply> {
    let found = call.db.health()?;
    let gravest = found.iter().map(|it| it.level).max().unwrap_or(Level::Ok);
    let status = match gravest {
        Level::Error => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    Reply::json(status, |out| {
        out.object(|out| {
            out.name("level").text(gravest.name());
            out.name("findings").list(|out| {
                found.iter().try_for_each(|finding| {
                    let hidden = finding.level == Level::Error;
                    out.object(|out| {
                        out.name("about").text(finding.about);
                        out.name("level").text(finding.level.name());
                        let text =
                            if hidden { "see the database's own health" } else { &*finding.text };
                        out.name("text").text(text);
                        out.name("remedy").text(&finding.remedy);
                        Ok(())
                    })
                })
            })
        })
    })
}

pub(super) fn livez(_: &Call<'_>) -> Result<Reply> {
    Ok(Reply::text(StatusCode::OK, PLAIN, "ok\n"))
}

/// Whether requests are taken: the database is open, acknowledges writes if it may write, and the server
/// does not stop.
pub(super) fn readyz(call: &Call<'_>) -> Result<Reply> {
    let refused = |why: &'static str| Ok(Reply::text(StatusCode::SERVICE_UNAVAILABLE, PLAIN, why));
    if call.shared.stops() {
        return refused("the server stops\n");
    }
    match call.db.acknowledges() {
        Ok(()) => Ok(Reply::text(StatusCode::OK, PLAIN, "ready\n")),
        Err(_) => refused("the database does not take writes\n"),
    }
}

pub(super) fn metrics(call: &Call<'_>) -> Result<Reply> {
    let mut text = call.db.metrics(&call.shared.options.python)?;
    text.push_str(&call.shared.figures.text(&call.shared.document));
    Ok(Reply::text(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text))
}

pub(super) fn openapi(_: &Call<'_>) -> Result<Reply> {
    Ok(Reply::text(StatusCode::OK, "application/json", DOCUMENT))
}
