//! The arrays of a graph, owned.

use super::bytes::AlignedBytes;
use super::codes::RowCodes;
use super::header::{GraphDamage, Header};
use super::view::GraphView;

/// An array of a graph. All numbers are little-endian; with `rows`, `dim`, `uppers` and the like
/// as the header has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Section {
    /// The lengths of all others, the metric and where a search begins.
    Header,
    /// `u8[rows × dim]`: codes, 128 added.
    Codes,
    /// `f32[rows]`, scales; for the distance `f32[rows × 2]`, scales and squares of norms.
    Scales,
    /// `u32[rows × (1 + links)]`: of each row how many links it has, and to which rows.
    Links,
    /// `u32[uppers]`, rising: the rows that are in more layers than the base.
    UpperRows,
    /// `u32[uppers + 1]`, rising: the first of each one's lists, one list for a layer.
    UpperStarts,
    /// `u32[lists × (1 + links)]`: as `Links`, but numbers of `UpperRows`.
    UpperLinks,
    /// `u32[rows]`.
    Slots,
    /// `u16[rows]`.
    Parts,
    /// `u32[rows]`: the rows in the order of their slots, and of one slot in that of the parts.
    BySlot,
}

impl Section {
    /// All, in the order in which a file has them.
    pub const ALL: [Self; 10] = [
        Self::Header,
        Self::Codes,
        Self::Scales,
        Self::Links,
        Self::UpperRows,
        Self::UpperStarts,
        Self::UpperLinks,
        Self::Slots,
        Self::Parts,
        Self::BySlot,
    ];
}

/// A graph in memory.
#[derive(Clone)]
pub struct Graph {
    pub(super) header: Header,
    pub(super) header_bytes: AlignedBytes,
    pub(super) rows: RowCodes,
    pub(super) links: AlignedBytes,
    pub(super) upper_rows: AlignedBytes,
    pub(super) upper_starts: AlignedBytes,
    pub(super) upper_links: AlignedBytes,
    pub(super) by_slot: AlignedBytes,
}

impl Graph {
    /// The bytes of a section; each begins on a cache line's boundary.
    pub fn section(&self, section: Section) -> &[u8] {
        let bytes = match section {
            Section::Header => &self.header_bytes,
            Section::Codes => &self.rows.codes,
            Section::Scales => &self.rows.scales,
            Section::Links => &self.links,
            Section::UpperRows => &self.upper_rows,
            Section::UpperStarts => &self.upper_starts,
            Section::UpperLinks => &self.upper_links,
            Section::Slots => &self.rows.slots,
            Section::Parts => &self.rows.parts,
            Section::BySlot => &self.by_slot,
        };
        bytes.as_slice()
    }

    /// A copy of the sections that `bytes` gives, all of whose links lead somewhere.
    ///
    /// # Errors
    /// The first damage that is met.
    pub fn from_sections<'a>(
        bytes: impl Fn(Section) -> &'a [u8] + Copy,
    ) -> Result<Self, GraphDamage> {
        let view = GraphView::from_sections(bytes)?;
        view.check()?;
        let own = |section| {
            let mut out = AlignedBytes::default();
            out.extend(bytes(section));
            out
        };
        let mut rows = view.no_rows();
        rows.append(&view, 0..view.len() as u32);
        Ok(Self {
            header: view.header,
            header_bytes: own(Section::Header),
            rows,
            links: own(Section::Links),
            upper_rows: own(Section::UpperRows),
            upper_starts: own(Section::UpperStarts),
            upper_links: own(Section::UpperLinks),
            by_slot: own(Section::BySlot),
        })
    }

    /// A view of it.
    pub fn view(&self) -> GraphView<'_> {
        GraphView::from_sections(|section| self.section(section))
            .expect("a graph that was just built is whole")
    }
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Graph").field(&self.header).finish()
    }
}
