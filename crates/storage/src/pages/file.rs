//! The data file as it is read: its map, its sums, and the states that commits leave.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use embedded_db_common::record::{self, Damaged};
use embedded_db_common::{Durability, Error, Options, Result};
use memmap2::{MmapOptions, MmapRaw};

use super::guard::check_writer;
use super::layout::Tree;
use super::sums::{Sums, sum_of};
use super::written::{all_pages, written_pages};
use super::{Cursor, Meta, Pages, View, patience};
use crate::keys::Table;
use crate::platform::{self, io_error};

/// Address space that is mapped at the least, so that a small file may grow. The unit tests begin with
/// little, so that maps are replaced.
const LEAST_MAP: u64 = if cfg!(test) { 1 << 16 } else { 1 << 28 };
/// Pages for whose sums there is room before a commit adds them.
const AHEAD: u64 = 1 << 14;

/// Bytes of a data file for whose sums there is a place at the least: `map_size_max` unless it is said.
const MOST_SUMMED: usize = 1 << 40;

/// The data file of a generation.
pub(crate) struct PageFile {
    file: File,
    pages: RwLock<Pages>,
    /// Where writer and readers tell each other what is owed; also where its sums say nothing.
    header: Option<Arc<Sums>>,
    /// The state that was read last: snapshots of one state share what is known of it.
    latest: RwLock<Option<Arc<View>>>,
    /// What a writer found.
    opened: Option<Meta>,
}

/// What is done with the sums of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// A writer, which keeps them.
    Writing,
    /// A reader, maybe beside a writer.
    Reading,
}

impl PageFile {
    /// Opens a file that LMDB has made, before LMDB reads it. `None` if there is none yet.
    pub(crate) fn open(
        database: &Path,
        directory: &Path,
        how: Use,
        options: &Options,
    ) -> Result<Option<Self>> {
        let path = directory.join("data.mdb");
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error(&path, "open it", &error)),
        };
        let map = Arc::new(Map::of(&file, &path)?);
        let mut pages = Pages { map, page_size: 256, path: database.into(), sums: None };
        let Some(first) = pages.meta_bytes(0) else { return Ok(None) };
        let Some(meta) = Meta::parse(&first) else {
            // All zeros: LMDB was about to make it.
            let untouched = first.iter().all(|byte| *byte == 0);
            return if untouched {
                Ok(None)
            } else {
                Err(pages.damaged(0, Damaged("is no meta page")))
            };
        };
        pages.page_size = meta.page_size;
        // Another process may let the file grow beyond what this one would.
        let most = options.map_size_max.max(MOST_SUMMED) / meta.page_size;
        let durable = options.durability != Durability::Memory;
        let header = match how {
            Use::Writing => {
                pages.sums =
                    Some(Arc::new(Sums::open_or_create(directory, meta.page_size, most, durable)?));
                pages.take_up()?;
                pages.sums.clone()
            }
            Use::Reading => {
                // Sums that were only begun, or may have been lost with the power, say nothing.
                let sums = Sums::open(directory, meta.page_size, most)?.map(Arc::new);
                pages.sums = sums.clone().filter(|sums| sums.found().is_usable());
                pages.check_metas()?;
                sums
            }
        };
        let opened = pages.newest().filter(|_| how == Use::Writing);
        let (pages, latest) = (RwLock::new(pages), RwLock::default());
        Ok(Some(Self { file, pages, header, latest, opened }))
    }

    /// The state that a transaction left; `None` if two later ones have replaced it.
    pub(crate) fn view(&self, transaction: u64) -> Result<Option<Arc<View>>> {
        let latest = self.latest.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(view) = latest.as_ref().filter(|view| view.meta.transaction == transaction) {
            return Ok(Some(Arc::clone(view)));
        }
        drop(latest);
        let Some(view) = self.look(transaction)?.map(Arc::new) else { return Ok(None) };
        let mut latest = self.latest.write().unwrap_or_else(PoisonError::into_inner);
        if latest.as_ref().is_none_or(|latest| latest.meta.transaction < transaction) {
            *latest = Some(Arc::clone(&view));
        }
        Ok(Some(view))
    }

    fn look(&self, transaction: u64) -> Result<Option<View>> {
        let pages = self.pages.read().unwrap_or_else(PoisonError::into_inner);
        let Some(meta) = pages.state(transaction) else { return Ok(None) };
        if pages.reaches(meta.last_page) {
            return Ok(Some(View::new(pages.clone(), meta)));
        }
        drop(pages);
        let mut pages = self.pages.write().unwrap_or_else(PoisonError::into_inner);
        if !pages.reaches(meta.last_page) && !pages.map.follow(&self.file, &pages.path)? {
            pages.map = Arc::new(Map::of(&self.file, &pages.path)?);
        }
        if !pages.reaches(meta.last_page) {
            return Err(pages.damaged(meta.last_page, Damaged("is cut off")));
        }
        Ok(Some(View::new(pages.clone(), meta)))
    }

    /// The newest state.
    pub(crate) fn newest(&self) -> Result<Arc<View>> {
        let begun = Instant::now();
        loop {
            let meta = self.pages.read().unwrap_or_else(PoisonError::into_inner).newest();
            let missing = || Damaged("is no meta page");
            let meta = meta.ok_or_else(|| self.damaged(0, missing()))?;
            if let Some(view) = self.view(meta.transaction)? {
                return Ok(view);
            }
            if begun.elapsed() > patience() {
                return Err(self.damaged(meta.transaction & 1, Damaged("changes all the time")));
            }
        }
    }

    fn damaged(&self, number: u64, damaged: Damaged) -> Error {
        self.pages.read().unwrap_or_else(PoisonError::into_inner).damaged(number, damaged)
    }

    /// After LMDB has opened the file for writing: the sums cover the tables that it made, and are in
    /// use.
    pub(crate) fn begin_use(&self) -> Result<()> {
        let Some(found) = self.opened else { return Ok(()) };
        let pages = self.pages.read().unwrap_or_else(PoisonError::into_inner).clone();
        pages.sums()?.begin_use()?;
        self.cover(&View::new(pages, found)).map(drop)
    }

    /// Before a commit on top of a state: there is room for the sums of what it writes.
    pub(crate) fn prepare(&self, state: &View) -> Result<()> {
        let sums = state.pages.sums()?;
        sums.reserve(state.meta.last_page.saturating_add(AHEAD))?;
        sums.intend(state.meta.transaction.saturating_add(1));
        Ok(())
    }

    /// After a commit: the sums cover what it wrote. The state that it left.
    /// With how many bytes it wrote.
    pub(crate) fn cover(&self, before: &View) -> Result<(Arc<View>, u64)> {
        let after = self.newest()?;
        let mut pages = 0;
        if after.meta.transaction != before.meta.transaction {
            pages = after.pages.cover(&before.meta, &after.meta)?;
        }
        let bytes = pages * after.pages.page_size as u64;
        Ok((after, bytes))
    }

    /// What is acknowledged will be in the state of this transaction: readers of other processes wait for it. Until
    /// then it is in the log, up to this frame.
    pub(crate) fn owe(&self, transaction: u64, frame: u64) {
        self.with_sums(|sums| sums.owe(transaction, frame));
    }

    /// The transaction that will have what is acknowledged; 0 where nobody tells.
    pub(crate) fn owed(&self) -> u64 {
        self.with_sums(Sums::owed)
    }

    /// The transaction that readers find with its sums.
    pub(crate) fn covered(&self) -> u64 {
        self.with_sums(Sums::covered)
    }

    /// Tells the writer that somebody waits for what it owes.
    pub(crate) fn want(&self) {
        self.with_sums(Sums::want);
    }

    /// How often that was told.
    pub(crate) fn wanted(&self) -> u64 {
        self.with_sums(Sums::wanted)
    }

    fn with_sums<T: Default>(&self, ask: impl FnOnce(&Sums) -> T) -> T {
        self.header.as_deref().map_or_else(T::default, ask)
    }

    /// The sums that a writer keeps.
    pub(crate) fn sums(&self) -> Result<Arc<Sums>> {
        let pages = self.pages.read().unwrap_or_else(PoisonError::into_inner);
        let sums = pages.sums.clone();
        sums.ok_or_else(|| Error::Internal("a writer has no sums".into()))
    }

    /// Everything is on the disk, and nothing more will be written.
    pub(crate) fn end_use(&self) -> Result<()> {
        let pages = self.pages.read().unwrap_or_else(PoisonError::into_inner);
        pages.sums.as_ref().map_or(Ok(()), |sums| sums.end_use())
    }
}

/// What can be read, as long as it lives.
enum Bytes {
    /// A file.
    Mapped(MmapRaw),
    /// Bytes of which a fuzzer has thought.
    #[cfg(any(test, fuzzing))]
    Owned(Box<[std::sync::atomic::AtomicU64]>),
}

/// A file that is mapped, further than it reaches yet.
pub(super) struct Map {
    map: Bytes,
    /// Bytes that the file was seen to have: nothing beyond may be touched.
    length: AtomicUsize,
}

impl Map {
    fn of(file: &File, path: &Path) -> Result<Self> {
        let failed = |error: std::io::Error| io_error(path, "map it", &error);
        let length = platform::file_length(file).map_err(failed)?;
        // A map may reach beyond the end of its file, but for Windows.
        let reach = if cfg!(unix) {
            length.saturating_mul(2).max(LEAST_MAP).next_multiple_of(1 << 16)
        } else {
            length
        };
        let map = MmapOptions::new().len(reach as usize).map_raw_read_only(file).map_err(failed)?;
        #[cfg(unix)]
        map.advise(memmap2::Advice::Random).map_err(failed)?;
        Ok(Self { map: Bytes::Mapped(map), length: AtomicUsize::new(length as usize) })
    }

    /// The bytes of a file that nobody else has.
    #[cfg(any(test, fuzzing))]
    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        let (whole, rest) = bytes.as_chunks();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        let words = whole.iter().chain((!rest.is_empty()).then_some(&last));
        let words = words.map(|word| std::sync::atomic::AtomicU64::new(u64::from_ne_bytes(*word)));
        Self { map: Bytes::Owned(words.collect()), length: AtomicUsize::new(bytes.len()) }
    }

    /// The file may have grown; whether all of it is mapped.
    fn follow(&self, file: &File, path: &Path) -> Result<bool> {
        let length = platform::file_length(file);
        let length = length.map_err(|error| io_error(path, "read the size", &error))? as usize;
        let reach = match &self.map {
            Bytes::Mapped(map) => map.len(),
            #[cfg(any(test, fuzzing))]
            Bytes::Owned(words) => size_of_val(&**words),
        };
        self.length.store(length.min(reach), Ordering::Release);
        Ok(length <= reach)
    }

    pub(super) fn length(&self) -> usize {
        self.length.load(Ordering::Acquire)
    }

    pub(super) fn as_ptr(&self) -> *const u8 {
        match &self.map {
            Bytes::Mapped(map) => map.as_ptr(),
            #[cfg(any(test, fuzzing))]
            Bytes::Owned(words) => words.as_ptr().cast(),
        }
    }
}

impl Pages {
    /// Of bytes in memory, without sums; `None` when they are those of no data file.
    #[cfg(any(test, fuzzing))]
    pub(super) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let map = Arc::new(Map::of_bytes(bytes));
        let mut pages = Self { map, page_size: 256, path: Path::new("bytes").into(), sums: None };
        pages.page_size = Meta::parse(&pages.meta_bytes(0)?)?.page_size;
        Some(pages)
    }

    pub(super) fn reaches(&self, page: u64) -> bool {
        page.saturating_add(1).saturating_mul(self.page_size as u64) <= self.map.length() as u64
    }

    pub(super) fn newest(&self) -> Option<Meta> {
        Meta::newest([0, 1].map(|page| self.meta_bytes(page).as_ref().and_then(Meta::parse)))
    }

    fn meta_sums(&self) -> [u32; 2] {
        [0, 1].map(|page| self.meta_bytes(page).map_or(0, |bytes| sum_of(&bytes)))
    }

    fn sums(&self) -> Result<&Sums> {
        self.sums.as_deref().ok_or_else(|| Error::Internal("a writer has no sums".into()))
    }

    /// Notes the sums of what a commit wrote; how many pages that are.
    fn cover(&self, old: &Meta, new: &Meta) -> Result<u64> {
        let (sums, mut written) = (self.sums()?, 0);
        written_pages(self, old, new, &mut |page, bytes| {
            written += 1;
            sums.set(page, bytes)
        })?;
        sums.cover(new.transaction, self.meta_sums());
        Ok(written)
    }

    /// A writer finds the file and its sums as the last one left them.
    fn take_up(&self) -> Result<()> {
        let sums = self.sums()?;
        let newest = self.newest().ok_or_else(|| self.damaged(0, Damaged("is no meta page")))?;
        let found = sums.found();
        if found.is_usable() {
            self.check_metas()?;
            let before = self.state(found.covered);
            let before = before.ok_or_else(|| self.foreign_sums(found.covered, &newest))?;
            self.cover(&before, &newest)?;
        } else {
            self.sum_all(&newest)?;
        }
        check_writer(self, &newest)?;
        if newest.main == Tree::EMPTY {
            // LMDB makes the tables when it opens the file.
            sums.intend(newest.transaction.saturating_add(1));
        }
        Ok(())
    }

    /// The meta pages are those that the sums were made of, or one commit later.
    #[expect(clippy::indexing_slicing, reason = "there are two meta pages, 0 and 1")]
    fn check_metas(&self) -> Result<()> {
        let Some(sums) = &self.sums else { return Ok(()) };
        let (mut begun, mut last) = (Instant::now(), None);
        loop {
            let newest =
                self.newest().ok_or_else(|| self.damaged(0, Damaged("is no meta page")))?;
            let covered = sums.covered();
            let page = (covered & 1) as usize;
            let found = self.meta_sums();
            let is_right = |page: usize| found[page] == sums.meta(page);
            // A commit that was begun may have left the other one in any way.
            let (next, intent) = (covered.checked_add(1), sums.intent());
            let begun_next = next == Some(intent);
            let agrees = is_right(page)
                && (newest.transaction == covered && (begun_next || is_right(1 - page))
                    || next == Some(newest.transaction) && begun_next);
            if agrees {
                return Ok(());
            }
            // A writer may be between a commit and its sums, or have gone on between two looks of ours,
            // however long this thread stood still: only what stays as it is is wrong.
            let told = (newest.transaction, covered, intent, found, [sums.meta(0), sums.meta(1)]);
            if patience().is_zero() || last == Some(told) && begun.elapsed() >= patience() {
                return Err(self.foreign_sums(covered, &newest));
            }
            if last != Some(told) {
                (begun, last) = (Instant::now(), Some(told));
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    fn foreign_sums(&self, covered: u64, newest: &Meta) -> Error {
        Error::Corruption {
            path: self.path.to_path_buf(),
            object: "its meta pages".into(),
            detail: format!(
                "they speak of transaction {} and do not agree with data.sums, which speaks of {covered}",
                newest.transaction
            ),
        }
    }

    /// Makes all sums anew, of pages on whose every row and order it has looked: the sums were lost, or
    /// never made.
    fn sum_all(&self, meta: &Meta) -> Result<()> {
        let unchecked = Self { sums: None, ..self.clone() };
        let view = View::new(unchecked, *meta);
        for table in Table::ALL {
            view.check_rows(table)?;
        }
        let sums = self.sums()?;
        all_pages(self, meta, &mut |page, bytes| sums.set(page, bytes))?;
        // Sums that cover a state are on the disk before they say so: else they could not be put back with it.
        sums.sync_if_durable()?;
        sums.cover(meta.transaction, self.meta_sums());
        Ok(())
    }
}

impl View {
    /// Looks at every row of a table: its checksum, its place in the order, how many there are. What no
    /// checksum of a page tells shows there.
    pub(super) fn check_rows(&self, table: Table) -> Result<()> {
        // A file that was just made has no tables yet.
        if self.meta.main == Tree::EMPTY {
            return Ok(());
        }
        let tree = self.tree(table)?;
        let mut cursor = Cursor::before(self, tree, &[])?;
        let (mut rows, mut last) = (0, None::<&[u8]>);
        let damaged = |key: &[u8], damaged: Damaged| Error::Corruption {
            path: self.pages.path.to_path_buf(),
            object: format!("{} {}", table.name(), hex(key)),
            detail: damaged.0.into(),
        };
        while let Some((key, sealed)) = cursor.next()? {
            record::open(table as u8, key, sealed).map_err(|what| damaged(key, what))?;
            if last.is_some_and(|last| last >= key) {
                return Err(damaged(key, Damaged("is out of order")));
            }
            // The way from the root leads to it as well.
            if self.get(table, key)?.is_none() {
                return Err(damaged(key, Damaged("is not where it belongs")));
            }
            (rows, last) = (rows + 1, Some(key));
        }
        if rows != tree.rows {
            return Err(damaged(&[], Damaged("has another number of rows than it says")));
        }
        Ok(())
    }
}

fn hex(key: &[u8]) -> String {
    key.iter().take(40).map(|byte| format!("{byte:02x}")).collect()
}
