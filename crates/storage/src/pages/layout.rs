//! How LMDB lays out its pages (data version 1). Nothing in a page is trusted: what does not fit is
//! `Damaged`, and no offset leads out of the page.

use embedded_db_common::record::{Damaged, Read};

/// Bytes before the content of any page.
pub(crate) const HEADER: usize = 16;

/// Kinds of pages, and the bits of their flags that say it; the others come and go while LMDB writes.
const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const OVERFLOW: u16 = 0x04;
const KINDS: u16 = 0x6F;

/// Flags of an entry: its value lies in pages of its own; its value is the root of a tree.
const BIG: u16 = 1;
const TREE: u16 = 2;
const ENTRY_HEADER: usize = 8;

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn is_page(bytes: &[u8], number: u64, kind: u16) -> bool {
    u64_at(bytes, 0) == Some(number) && u16_at(bytes, 10).map(|flags| flags & KINDS) == Some(kind)
}

/// The kinds of pages that a state has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageKind {
    Branch,
    Leaf,
    /// The first page of a value in pages of its own.
    Run,
}

/// The number and the kind that a page says of itself; `None` if it is none.
pub(super) fn kind_of(bytes: &[u8]) -> Option<(u64, PageKind)> {
    let kind = match u16_at(bytes, 10)? & KINDS {
        BRANCH => PageKind::Branch,
        LEAF => PageKind::Leaf,
        OVERFLOW => PageKind::Run,
        _ => return None,
    };
    Some((u64_at(bytes, 0)?, kind))
}

/// A tree: one named database, the one that names them, or the one of free pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tree {
    pub(crate) flags: u16,
    /// Levels: 0 without a page, 1 for a single leaf.
    pub(crate) depth: u16,
    /// Pages of all kinds.
    pub(crate) pages: u64,
    /// Of these, those that values have for themselves.
    pub(crate) big: u64,
    /// Rows.
    pub(crate) rows: u64,
    pub(crate) root: u64,
}

impl Tree {
    pub(crate) const EMPTY: Self =
        Self { flags: 0, depth: 0, pages: 0, big: 0, rows: 0, root: u64::MAX };
    const SIZE: usize = 48;

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (flags, root) = (u16_at(bytes, 4)?, u64_at(bytes, 40)?);
        if root == u64::MAX {
            return Some(Self { flags, ..Self::EMPTY });
        }
        let depth = u16_at(bytes, 6).filter(|depth| (1..=MAX_DEPTH as u16).contains(depth))?;
        let [branches, leaves, big] = [8, 16, 24].map(|at| u64_at(bytes, at).unwrap_or(0));
        let pages = branches.saturating_add(leaves).saturating_add(big);
        Some(Self { flags, depth, pages, big, rows: u64_at(bytes, 32)?, root })
    }
}

/// Most levels of a tree; LMDB has the same limit.
pub(crate) const MAX_DEPTH: usize = 32;

/// A meta page: the state that a commit left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) transaction: u64,
    pub(crate) page_size: usize,
    pub(crate) last_page: u64,
    /// The tree of free pages.
    pub(crate) free: Tree,
    /// The tree with the names of all others.
    pub(crate) main: Tree,
}

impl Meta {
    /// Bytes of a meta page that say something.
    pub(crate) const SIZE: usize = 152;

    /// `None` if it is no meta page.
    pub(crate) fn parse(bytes: &[u8; Self::SIZE]) -> Option<Self> {
        const MAGIC: u32 = 0xBEEF_C0DE;
        const VERSION: u32 = 1;
        // Magic, version, address and size of the map, two trees, last page, transaction. The first
        // tree's unused field is the page size.
        let page_size = u32_at(bytes, 40)?;
        let valid = page_size.is_power_of_two() && (256..=65_536).contains(&page_size);
        if u32_at(bytes, 16) != Some(MAGIC) || u32_at(bytes, 20) != Some(VERSION) || !valid {
            return None;
        }
        Some(Self {
            transaction: u64_at(bytes, 144)?,
            page_size: page_size as usize,
            last_page: u64_at(bytes, 136)?,
            free: Tree::parse(&bytes[40..88])?,
            main: Tree::parse(&bytes[88..136])?,
        })
    }

    /// The later of the two that a file has. As LMDB: the first of equals, for a first commit that failed
    /// leaves the other one in any way.
    pub(crate) fn newest(both: [Option<Self>; 2]) -> Option<Self> {
        both.into_iter().flatten().rev().max_by_key(|meta| meta.transaction)
    }

    /// Bytes up to the end of its last page.
    pub(crate) fn length(&self) -> u64 {
        self.last_page.saturating_add(1).saturating_mul(self.page_size as u64)
    }
}

/// A page of a tree.
#[derive(Clone, Copy)]
pub(crate) struct Page<'a> {
    bytes: &'a [u8],
    leaf: bool,
    count: usize,
}

/// What a leaf has under a key.
pub(crate) enum Value<'a> {
    Here(&'a [u8]),
    /// A value in pages of its own.
    Big {
        page: u64,
        length: usize,
    },
    Tree(Tree),
}

struct Entry<'a> {
    /// Of a leaf, the length of the value; of a branch, the low half of the page number.
    low: u32,
    flags: u16,
    key: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Page<'a> {
    /// The page of this number. A tree has its leaves at level 1.
    pub(crate) fn parse(bytes: &'a [u8], number: u64, level: u16) -> Read<Self> {
        let page = Self::any(bytes, number)?;
        if page.leaf != (level == 1) || (!page.leaf && page.count == 0) {
            return Err(Damaged("is not at the depth where such a page belongs"));
        }
        Ok(page)
    }

    /// The page of this number, a branch or a leaf.
    pub(super) fn any(bytes: &'a [u8], number: u64) -> Read<Self> {
        let leaf = is_page(bytes, number, LEAF);
        if !leaf && !is_page(bytes, number, BRANCH) {
            return Err(Damaged("has the number of another, or is neither a branch nor a leaf"));
        }
        let at = |place| u16_at(bytes, place).map_or(0, usize::from);
        let (lower, upper) = (at(12), at(14));
        if lower < HEADER || !lower.is_multiple_of(2) || lower > upper || upper > bytes.len() {
            return Err(Damaged("has free space where none can be"));
        }
        Ok(Self { bytes, leaf, count: lower.saturating_sub(HEADER) / 2 })
    }

    pub(super) fn is_leaf(&self) -> bool {
        self.leaf
    }

    /// Whether its entries lie side by side from the end of the free space to the end of the page, as
    /// LMDB takes for granted when it changes them.
    pub(super) fn is_packed(&self) -> bool {
        let upper = u16_at(self.bytes, 14).map_or(0, usize::from);
        let mut used = 0;
        for index in 0..self.count {
            let at = u16_at(self.bytes, pointer(index)).map_or(0, usize::from);
            let Some(entry) = self.entry(index).filter(|_| at >= upper) else { return false };
            let inside = match (self.leaf, entry.flags) {
                (false, _) => 0,
                (true, BIG) => size_of::<u64>(),
                (true, _) => entry.low as usize,
            };
            let length = inside.saturating_add(entry.key.len()).saturating_add(ENTRY_HEADER);
            used = usize::saturating_add(used, length.saturating_add(length % 2));
        }
        upper.saturating_add(used) == self.bytes.len()
    }

    /// Entries in it.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    fn entry(&self, index: usize) -> Option<Entry<'a>> {
        let at = usize::from(u16_at(self.bytes, pointer(index))?);
        let header = self.bytes.get(at..)?;
        let key_length = usize::from(u16_at(header, 6)?);
        let (key, rest) = header.get(ENTRY_HEADER..)?.split_at_checked(key_length)?;
        Some(Entry { low: u32_at(header, 0)?, flags: u16_at(header, 4)?, key, rest })
    }

    /// The key of an entry; that of a branch's first one says nothing.
    pub(crate) fn key(&self, index: usize) -> Read<&'a [u8]> {
        Ok(self.entry(index).ok_or(OUTSIDE)?.key)
    }

    /// The page below an entry of a branch.
    pub(crate) fn child(&self, index: usize) -> Read<u64> {
        let at = usize::from(u16_at(self.bytes, pointer(index)).ok_or(OUTSIDE)?);
        let header = self.bytes.get(at..).and_then(|entry| entry.first_chunk::<ENTRY_HEADER>());
        let [a, b, c, d, e, f, ..] = *header.ok_or(OUTSIDE)?;
        let (low, high) = (u32::from_ne_bytes([a, b, c, d]), u16::from_ne_bytes([e, f]));
        Ok(u64::from(low) | u64::from(high) << 32)
    }

    /// Whether the value of an entry of a leaf lies in the leaf.
    pub(crate) fn is_plain(&self, index: usize) -> bool {
        let at = u16_at(self.bytes, pointer(index)).map(usize::from);
        at.and_then(|at| u16_at(self.bytes, at.saturating_add(4))) == Some(0)
    }

    /// The key and value of an entry of a leaf.
    pub(crate) fn row(&self, index: usize) -> Read<(&'a [u8], Value<'a>)> {
        let entry = self.entry(index).ok_or(OUTSIDE)?;
        let length = entry.low as usize;
        let value = match entry.flags {
            0 => Value::Here(entry.rest.get(..length).ok_or(OUTSIDE)?),
            BIG => Value::Big { page: u64_at(entry.rest, 0).ok_or(OUTSIDE)?, length },
            TREE if length == Tree::SIZE => {
                let tree = entry.rest.get(..length).and_then(Tree::parse);
                Value::Tree(tree.ok_or(Damaged("names what is no table"))?)
            }
            _ => return Err(Damaged("has an entry of an unknown kind")),
        };
        Ok((entry.key, value))
    }

    /// In a leaf, the first entry whose key is not below `key`, and whether it is that key; in a
    /// branch, the entry below which `key` is to be found.
    pub(crate) fn search(&self, key: &[u8]) -> Read<(usize, bool)> {
        let (mut low, mut high) = (usize::from(!self.leaf), self.count);
        while low < high {
            let middle = low.midpoint(high);
            match self.key(middle)?.cmp(key) {
                std::cmp::Ordering::Less => low = middle.saturating_add(1),
                std::cmp::Ordering::Equal => return Ok((middle, true)),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok((if self.leaf { low } else { low.saturating_sub(1) }, false))
    }
}

const OUTSIDE: Damaged = Damaged("has an entry that lies outside of it");

/// Where a page says where an entry stands.
fn pointer(index: usize) -> usize {
    index.saturating_mul(2).saturating_add(HEADER)
}

/// Pages that a value of this length takes.
pub(crate) fn big_pages(length: usize, page_size: usize) -> u64 {
    let bytes = length.saturating_add(const { HEADER - 1 });
    (bytes.checked_div(page_size).unwrap_or(0) as u64).saturating_add(1)
}

/// How many pages the run of pages that begins here has.
pub(crate) fn run_length(first: &[u8], number: u64) -> Read<u64> {
    if !is_page(first, number, OVERFLOW) {
        return Err(Damaged("is no overflow page"));
    }
    u32_at(first, 12).map(u64::from).ok_or(OUTSIDE)
}
