//! Nodes, edges, embeddings and results as JSON.

use embedded_db_engine::common::Result;
use embedded_db_engine::{Answer, AnsweredHit, Edge, Embedding, Node, Path};

use crate::json::Writer;

impl Writer {
    pub(crate) fn node(&mut self, node: &Node) -> Result<()> {
        self.object(|out| {
            out.name("id").text(&node.id()?);
            out.name("labels").texts(node.labels()?);
            out.name("properties")
                .object(|out| node.each_property(&mut |name, value| out.name(name).value(value)))?;
            out.name("created_at").time(node.created_at()?);
            out.name("updated_at").time(node.updated_at()?);
            out.name("expires_at").optional(node.expires_at()?, Self::time);
            out.name("version").int(node.version()?);
            out.name("derived").flag(node.derived()?);
            Ok(())
        })
    }

    pub(crate) fn nodes<'a>(&mut self, nodes: impl IntoIterator<Item = &'a Node>) -> Result<()> {
        self.list(|out| nodes.into_iter().try_for_each(|node| out.node(node)))
    }

    pub(crate) fn edge(&mut self, edge: &Edge) -> Result<()> {
        let times = edge.times()?;
        self.object(|out| {
            out.name("id").text(&edge.id()?);
            out.name("source").text(edge.source());
            out.name("target").text(edge.target());
            out.name("type").text(&edge.edge_type()?);
            out.name("properties")
                .object(|out| edge.each_property(&mut |name, value| out.name(name).value(value)))?;
            out.name("weight").float(edge.weight()?);
            out.name("valid_from").optional(times.valid_from, Self::time);
            out.name("valid_to").optional(times.valid_to, Self::time);
            out.name("recorded_at").time(times.recorded_at);
            out.name("retracted_at").optional(times.retracted_at, Self::time);
            out.name("sources").texts(edge.sources()?);
            out.name("version").int(edge.version()?);
            out.name("derived").flag(edge.derived()?);
            Ok(())
        })
    }

    pub(crate) fn edges<'a>(&mut self, edges: impl IntoIterator<Item = &'a Edge>) -> Result<()> {
        self.list(|out| edges.into_iter().try_for_each(|edge| out.edge(edge)))
    }

    pub(crate) fn embedding(&mut self, embedding: &Embedding) -> Result<()> {
        self.object(|out| {
            out.name("id").text(&embedding.id);
            out.name("node_id").text(&embedding.node_id);
            out.name("vector").list(|out| {
                embedding.vector.iter().for_each(|number| out.float32(*number));
                Ok::<_, embedded_db_engine::common::Error>(())
            })?;
            out.name("space").text(&embedding.space);
            out.name("model").text(&embedding.model);
            out.name("dim").int(embedding.vector.len());
            out.name("part").int(embedding.part);
            out.name("created_at").time(embedding.created_at);
            Ok(())
        })
    }

    pub(crate) fn path(&mut self, path: &Path) -> Result<()> {
        self.object(|out| {
            out.name("nodes").nodes(&path.nodes)?;
            out.name("edges").edges(&path.edges)?;
            out.name("cost").float(path.cost);
            Ok(())
        })
    }

    /// Results, with where they go on.
    pub(crate) fn answer(&mut self, answer: &Answer, cursor: Option<&str>) -> Result<()> {
        self.name("results").list(|out| answer.hits.iter().try_for_each(|hit| out.hit(hit)))?;
        self.name("pending").int(answer.pending);
        self.name("cursor").optional(cursor, Self::text);
        let Some(plan) = &answer.plan else {
            self.name("plan").null();
            return Ok(());
        };
        self.name("plan").list(|out| {
            plan.iter().try_for_each(|step| {
                out.object(|out| {
                    out.name("step").text(step.step);
                    out.name("detail").text(&step.detail);
                    out.name("access").optional(step.access, Self::text);
                    out.name("estimate").optional(step.estimate, Self::int);
                    out.name("rows").int(step.rows);
                    out.name("micros").float(step.micros);
                    Ok(())
                })
            })
        })
    }

    fn hit(&mut self, found: &AnsweredHit) -> Result<()> {
        let hit = &found.hit;
        self.object(|out| {
            out.name("node").node(&found.node)?;
            out.name("score").float32(hit.score);
            out.name("similarity_score").optional(hit.similarity, Self::float32);
            out.name("text_score").optional(hit.text, Self::float32);
            out.name("graph_distance").optional(hit.distance, Self::int);
            out.name("activation").optional(hit.activation, Self::float32);
            out.name("ranks").object(|out| {
                let ranks = [
                    ("semantic", hit.semantic_rank),
                    ("text", hit.text_rank),
                    ("activation", hit.activation_rank),
                ];
                for (leg, rank) in ranks {
                    rank.iter().for_each(|rank| out.name(leg).int(rank));
                }
                Ok::<_, embedded_db_engine::common::Error>(())
            })?;
            out.name("shares").object(|out| {
                hit.shares.iter().for_each(|(part, share)| out.name(part).float32(*share));
                Ok::<_, embedded_db_engine::common::Error>(())
            })?;
            match &found.path {
                Some(path) => out.name("path").path(path)?,
                None => out.name("path").null(),
            }
            Ok(())
        })
    }
}
