//! What a graph says about itself, in 64 bytes.

use super::super::Metric;
use super::MAX_ROWS;
use super::codes::scale_bytes;
use super::sections::Section;
use crate::kernels::MAX_DIM;

pub(super) const HEADER_BYTES: usize = 64;
const VERSION: u32 = 1;

/// A section says what cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraphDamage {
    /// Where.
    pub section: Section,
    /// What is wrong there.
    pub what: &'static str,
}

impl GraphDamage {
    pub(super) fn new(section: Section, what: &'static str) -> Self {
        Self { section, what }
    }
}

impl std::fmt::Display for GraphDamage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the vector graph is damaged: {:?}: {}", self.section, self.what)
    }
}

impl std::error::Error for GraphDamage {}

/// The numbers that say how long the sections are and where a search begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Header {
    pub(super) metric: Metric,
    /// Whether a slot may have several rows.
    pub(super) has_parts: bool,
    pub(super) dim: u32,
    pub(super) rows: u32,
    /// Most links of a node of the base layer.
    pub(super) base_links: u32,
    /// Most links of a node of another layer.
    pub(super) upper_links: u32,
    /// Nodes of the layers above the base.
    pub(super) uppers: u32,
    /// Lists of links above the base.
    pub(super) blocks: u32,
    /// Number among the uppers of where searches begin.
    pub(super) entry: u32,
    /// Layers, with the base.
    pub(super) layers: u32,
    /// Of the levels of rows, and of rows yet to come.
    pub(super) seed: u64,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let metric = match self.metric {
            Metric::Cosine => 0,
            Metric::Dot => 1,
            Metric::Euclidean => 2,
        };
        let words = [
            VERSION,
            metric | u32::from(self.has_parts) << 8,
            self.dim,
            self.rows,
            self.base_links,
            self.upper_links,
            self.uppers,
            self.blocks,
            self.entry,
            self.layers,
            self.seed as u32,
            (self.seed >> 32) as u32,
        ];
        let mut out = [0; HEADER_BYTES];
        for (bytes, word) in out.as_chunks_mut().0.iter_mut().zip(words) {
            *bytes = word.to_le_bytes();
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, GraphDamage> {
        let wrong = |what| GraphDamage::new(Section::Header, what);
        let bytes: &[u8; HEADER_BYTES] = bytes.try_into().map_err(|_| wrong("its length"))?;
        let word = |index: usize| {
            let [a, b, c, d] = bytes.as_chunks().0[index];
            u32::from_le_bytes([a, b, c, d])
        };
        let long = |index| u64::from(word(index)) | u64::from(word(index + 1)) << 32;
        if word(0) != VERSION {
            return Err(wrong("its version"));
        }
        let metric = match word(1) & !(1 << 8) {
            0 => Metric::Cosine,
            1 => Metric::Dot,
            2 => Metric::Euclidean,
            _ => return Err(wrong("its metric")),
        };
        let header = Self {
            metric,
            has_parts: word(1) >> 8 == 1,
            dim: word(2),
            rows: word(3),
            base_links: word(4),
            upper_links: word(5),
            uppers: word(6),
            blocks: word(7),
            entry: word(8),
            layers: word(9),
            seed: long(10),
        };
        header.check().map_err(wrong)?;
        Ok(header)
    }

    fn check(&self) -> Result<(), &'static str> {
        let fits = |links| (1..=1024).contains(&links);
        let is_empty = self.rows == 0;
        let checks = [
            ((1..=MAX_DIM).contains(&(self.dim as usize)), "its dimension"),
            (self.rows as usize <= MAX_ROWS, "its number of rows"),
            (fits(self.base_links) && fits(self.upper_links), "its number of links"),
            (self.uppers <= self.rows && (self.uppers == 0) == is_empty, "its upper nodes"),
            (self.blocks >= self.uppers, "its upper lists"),
            (self.entry < self.uppers || is_empty, "its entry"),
            (is_empty || (2..=64).contains(&self.layers), "its layers"),
        ];
        checks.into_iter().try_for_each(|(holds, what)| if holds { Ok(()) } else { Err(what) })
    }

    /// How many bytes the section has.
    pub(super) fn bytes_of(&self, section: Section) -> u64 {
        let rows = u64::from(self.rows);
        match section {
            Section::Header => HEADER_BYTES as u64,
            Section::Codes => rows * u64::from(self.dim),
            Section::Scales => rows * scale_bytes(self.metric) as u64,
            Section::Links => rows * (1 + u64::from(self.base_links)) * 4,
            Section::Slots | Section::BySlot => rows * 4,
            Section::Parts => rows * 2,
            Section::UpperRows => u64::from(self.uppers) * 4,
            Section::UpperStarts => (u64::from(self.uppers) + 1) * 4,
            Section::UpperLinks => u64::from(self.blocks) * (1 + u64::from(self.upper_links)) * 4,
        }
    }
}
