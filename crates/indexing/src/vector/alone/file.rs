//! An index as bytes: a header, ids, f32 rows, the graph, and the SHA-256 of all of it.
//!
//! The fallback in pure Python reads and writes the same, without a graph; what it wrote is linked
//! when it is loaded. All numbers are little-endian.
//!
//! ```text
//! 0   8   "edb-hnsw"        24  8   slots            64   8 × slots         ids, −1: removed
//! 8   4   version, 1        32  8   next id           …   4 × dim × slots   rows
//! 12  4   metric            40  8   bytes of the      …                     of each section of the
//! 16  4   dimension                 graph, or 0                             graph: 8, its length; it
//! 20  4   links             48  16  zeros             …   32                SHA-256 of what is before
//! ```

use std::path::Path;

use embedded_db_common::record::{Cursor, Damaged};
use embedded_db_common::{Digest, Error, Result};

use super::super::Metric;
use super::super::graph::{Graph, Profile, Section};
use super::HnswOptions;
use super::rows::Rows;
use super::state::State;
use crate::kernels::MAX_DIM;

const MAGIC: [u8; 8] = *b"edb-hnsw";
const VERSION: u32 = 1;
const HEADER: usize = 64;
const DIGEST: usize = 32;
/// By their numbers in files.
const METRICS: [Metric; 3] = [Metric::Cosine, Metric::Dot, Metric::Euclidean];

pub(super) fn encode(options: &HnswOptions, state: &State) -> Vec<u8> {
    let sections = state.graph().map(|graph| Section::ALL.map(|section| graph.section(section)));
    let graph: usize =
        sections.iter().flatten().map(|section| size_of::<u64>() + section.len()).sum();
    let metric = METRICS.iter().position(|metric| *metric == options.metric);
    let slots = state.held();
    let mut out = Vec::with_capacity(HEADER + slots * (8 + 4 * options.dim) + graph + DIGEST);
    out.extend(MAGIC);
    let words = [VERSION, metric.unwrap_or(0) as u32, options.dim as u32, links(options.profile)];
    words.iter().for_each(|word| out.extend(word.to_le_bytes()));
    out.extend((slots as u64).to_le_bytes());
    out.extend(state.next_id().to_le_bytes());
    out.extend((graph as u64).to_le_bytes());
    out.resize(HEADER, 0);
    state.ids().iter().for_each(|id| out.extend(id.to_le_bytes()));
    for piece in state.rows().pieces() {
        piece.iter().for_each(|number| out.extend(number.to_le_bytes()));
    }
    for section in sections.iter().flatten() {
        out.extend((section.len() as u64).to_le_bytes());
        out.extend(*section);
    }
    let mut digest = Digest::default();
    digest.update(&out);
    out.extend(digest.finish().bytes());
    out
}

pub(super) fn decode(path: &Path, bytes: &[u8], threads: usize) -> Result<(HnswOptions, State)> {
    let damaged =
        |detail: &str| Error::DamagedFile { path: path.to_owned(), detail: detail.into() };
    let content = bytes.split_last_chunk::<DIGEST>().filter(|(content, _)| content.len() >= HEADER);
    let (content, sum) = content.ok_or_else(|| damaged("it is too short"))?;
    if !content.starts_with(&MAGIC) {
        return Err(damaged("it does not begin as one"));
    }
    let mut digest = Digest::default();
    digest.update(content);
    if digest.finish().bytes() != *sum {
        return Err(damaged("its checksum does not agree"));
    }
    let mut reader = Cursor::new(&content[MAGIC.len()..]);
    let version = reader.u32().unwrap_or(0);
    if version > VERSION {
        let path = path.to_owned();
        return Err(Error::FormatTooNew { path, found: version, supported: VERSION });
    }
    let (options, state) = parse(&mut reader, threads).map_err(damaged)?;
    Ok((options, state))
}

/// What follows the version. `Err`: what cannot be.
fn parse(
    reader: &mut Cursor<'_>,
    threads: usize,
) -> std::result::Result<(HnswOptions, State), &'static str> {
    const SHORT: &str = "its length";
    let short = |_: Damaged| SHORT;
    let metric: Option<Metric> = METRICS.get(reader.u32().map_err(short)? as usize).copied();
    let dim = reader.u32().map_err(short)? as usize;
    let profile = match reader.u32().map_err(short)? {
        64 => Profile::Normal,
        32 => Profile::Small,
        _ => return Err("its number of links"),
    };
    let metric = metric.ok_or("its metric")?;
    if !(1..=MAX_DIM).contains(&dim) {
        return Err("its dimension");
    }
    let options = HnswOptions { dim, metric, profile, threads };
    let slots = usize::try_from(reader.u64().map_err(short)?).map_err(|_| SHORT)?;
    let next_id = reader.u64().map_err(short)? as i64;
    if next_id < 0 {
        return Err("its next id");
    }
    let graph_bytes = usize::try_from(reader.u64().map_err(short)?).map_err(|_| SHORT)?;
    reader.take(16).map_err(short)?;
    let id_bytes = reader.take(slots.checked_mul(8).ok_or(SHORT)?).map_err(short)?;
    let ids = id_bytes.as_chunks().0.iter().map(|id| i64::from_le_bytes(*id)).collect();
    let row_bytes = reader.take(slots.checked_mul(4 * dim).ok_or(SHORT)?).map_err(short)?;
    let mut rows = Rows::new(dim);
    let mut row = vec![0.0; dim];
    for bytes in row_bytes.chunks_exact(4 * dim) {
        for (number, bytes) in row.iter_mut().zip(bytes.as_chunks().0) {
            *number = f32::from_le_bytes(*bytes);
        }
        rows.push(&row);
    }
    if reader.rest().len() != graph_bytes {
        return Err(SHORT);
    }
    let graph = (graph_bytes > 0).then(|| graph_of(reader)).transpose()?;
    if graph.as_ref().is_some_and(|graph| {
        let view = graph.view();
        view.dim() != dim || view.metric() != metric
    }) {
        return Err("the dimension or the metric of its graph");
    }
    let mut state = State::new(&options);
    state.restore(ids, next_id, rows, graph)?;
    Ok((options, state))
}

fn graph_of(reader: &mut Cursor<'_>) -> std::result::Result<Graph, &'static str> {
    let mut sections = [&[][..]; Section::ALL.len()];
    for section in &mut sections {
        let len = reader.u64().ok().and_then(|len| usize::try_from(len).ok());
        *section = len.and_then(|len| reader.take(len).ok()).ok_or("the length of its graph")?;
    }
    if !reader.rest().is_empty() {
        return Err("the length of its graph");
    }
    let bytes = |wanted: Section| {
        let place = Section::ALL.iter().position(|section| *section == wanted);
        place.map_or(&[][..], |place| sections[place])
    };
    Graph::from_sections(bytes).map_err(|_| "its graph")
}

fn links(profile: Profile) -> u32 {
    match profile {
        Profile::Normal => 64,
        Profile::Small => 32,
    }
}
