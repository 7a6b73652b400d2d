//! The checksums of LMDB's pages, in a file beside the data file.
//!
//! LMDB has none of its own. Rows carry theirs, but a damaged page may hide a row, or lead to an older
//! one. So each page that a commit leaves has a sum here:
//!
//! - Sums are written after the commit, then the number of the transaction that they cover. A page of
//!   a state that is covered matches its sum, for it does not change while the state can be read.
//! - A process checks a page when it first meets it with this sum. What was checked is known by the
//!   sum itself: a page that was written anew has another.
//! - A writer that ended between a commit and its sums left both states in the file; whoever opens it
//!   next finds from them which pages the commit wrote.
//! - It has the number of the last checkpoint of the log, too: the pages of the one before may have been written to
//!   since, and would match their sums.
//! - Where processes look at the same map, writer and readers also agree on what is acknowledged and not
//!   committed yet: the writer tells the transaction that will have it, readers count up that they wait.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use embedded_db_common::Result;
use memmap2::{MmapOptions, MmapRaw};
use xxhash_rust::xxh3::xxh3_64;

use crate::platform::{self, io_error, sync_error, write_error};

/// Bytes before the sums.
const HEADER: u64 = 4096;
const MAGIC: u64 = u64::from_le_bytes(*b"edb sums");
const VERSION: u32 = 1;
/// Sums that are mapped, and added to the file, at once.
const CHUNK: usize = 1 << 14;
const CHUNK_BYTES: u64 = (CHUNK * 4) as u64;

/// Places in the header, in bytes. All numbers are little endian.
mod at {
    pub(super) const MAGIC: usize = 0;
    pub(super) const VERSION: usize = 8;
    pub(super) const PAGE_SIZE: usize = 12;
    pub(super) const COVERED: usize = 16;
    pub(super) const IN_USE: usize = 32;
    pub(super) const INTENT: usize = 80;
    pub(super) const OWED: usize = 88;
    pub(super) const WANTED: usize = 96;
    pub(super) const CHECKPOINT: usize = 104;
    pub(super) const FRAME: usize = 112;
}

/// Places of the sums of the two meta pages.
const METAS: [usize; 2] = [24, 28];
/// Places of what `platform::mounted_file` says.
const MOUNTED_FILE: [usize; 5] = [40, 48, 56, 64, 72];

/// The sum of a page; never 0, which stands for none. A CRC would not do: rows carry theirs, and one that is
/// exchanged for another of the same length leaves every CRC of the same kind as it was.
pub(super) fn sum_of(page: &[u8]) -> u32 {
    (xxh3_64(page) as u32).max(1)
}

/// The open file.
pub(crate) struct Sums {
    path: PathBuf,
    file: File,
    writable: bool,
    /// Whether it must outlive the machine's power.
    durable: bool,
    header: MmapRaw,
    /// Of a reader that may write: where it tells that it waits.
    wanting: Option<MmapRaw>,
    chunks: Box<[OnceLock<Box<Chunk>>]>,
}

struct Chunk {
    sums: MmapRaw,
    /// The sum with which this process has found each page right.
    seen: Box<[AtomicU32]>,
}

/// What is known of a file that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// The transaction whose pages the sums cover; 0 if they were only begun.
    pub(super) covered: u64,
    /// Whether what is there is what was written: it was closed, or its file system has not been
    /// mounted anew since.
    pub(super) whole: bool,
}

impl Found {
    pub(super) fn is_usable(self) -> bool {
        self.whole && self.covered != 0
    }
}

impl Sums {
    /// Opens the file for reading; `None` where there is none that can be used.
    pub(super) fn open(directory: &Path, page_size: usize, most: usize) -> Result<Option<Self>> {
        let path = file_path(directory);
        match OpenOptions::new().read(true).open(&path) {
            Ok(file) => {
                let found = Self::mapped(path.clone(), file, false, most)?;
                let mut found = found.filter(|found| found.is_of(page_size));
                if let Some(found) = &mut found {
                    // Without it the writer commits when it would have done so anyway, some milliseconds later.
                    let file = OpenOptions::new().read(true).write(true).open(&path).ok();
                    found.wanting = file.and_then(|file| map(&file, 0, HEADER, true).ok());
                }
                Ok(found)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error(&path, "open it", &error)),
        }
    }

    /// Opens the file for writing, and makes it where there is none that can be used.
    pub(super) fn open_or_create(
        directory: &Path,
        page_size: usize,
        most: usize,
        durable: bool,
    ) -> Result<Self> {
        let path = file_path(directory);
        let open = |new| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(new);
            options.open(&path).map_err(|error| write_error(&path, "open it for writing", &error))
        };
        if let Some(mut found) = Self::mapped(path.clone(), open(false)?, true, most)?
            && found.is_of(page_size)
        {
            found.durable = durable;
            return Ok(found);
        }
        let file = open(true)?;
        lengthen(&path, &file, HEADER)?;
        let mut made = Self::mapped(path.clone(), file, true, most)?.ok_or_else(|| short(&path))?;
        made.durable = durable;
        made.number(at::VERSION).store(VERSION.to_le(), Ordering::Relaxed);
        made.number(at::PAGE_SIZE).store((page_size as u32).to_le(), Ordering::Relaxed);
        made.long(at::MAGIC).store(MAGIC.to_le(), Ordering::Release);
        Ok(made)
    }

    /// The state of this transaction was put back in the data file, with meta pages that have these sums. What
    /// is stored for its pages is right, for none of them was written to since.
    pub(crate) fn put_back(
        directory: &Path,
        page_size: usize,
        transaction: u64,
        metas: [u32; 2],
    ) -> Result<()> {
        match Self::stored_for(directory, page_size)? {
            Some(sums) => sums.vouch(transaction, metas, transaction),
            None => Ok(()),
        }
    }

    /// The newest state of the data file is that of this transaction, whose sums were on the disk with it. So
    /// they are right, though the file was in use: what was stored since is for pages that are not of it.
    pub(crate) fn hold(
        directory: &Path,
        page_size: usize,
        transaction: u64,
        metas: [u32; 2],
    ) -> Result<()> {
        match Self::stored_for(directory, page_size)?.filter(|sums| !sums.found().whole) {
            // The next commit may have been begun.
            Some(sums) => sums.vouch(transaction, metas, transaction.saturating_add(1)),
            None => Ok(()),
        }
    }

    /// The number of a checkpoint behind this one that was on the disk, as the disk told.
    pub(crate) fn later_checkpoint(directory: &Path, number: u64) -> Result<Option<u64>> {
        let found = Self::header_of(directory)?;
        let last = found.map_or(0, |found| found.loaded_long(at::CHECKPOINT));
        Ok((last > number).then_some(last))
    }

    fn header_of(directory: &Path) -> Result<Option<Self>> {
        let path = file_path(directory);
        platform::require_file(&path)?;
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error(&path, "open it", &error)),
        };
        let found = Self::mapped(path, file, false, 0)?;
        Ok(found.filter(|found| {
            found.loaded_long(at::MAGIC) == MAGIC && found.loaded(at::VERSION) == VERSION
        }))
    }

    /// The transaction of what was acknowledged last, and the last frame of the log that it needs, as far as the file
    /// tells; see [`Sums::owe`].
    pub(crate) fn owed_in(directory: &Path) -> Result<(u64, u64)> {
        let told = |found: Self| (found.owed(), found.loaded_long(at::FRAME));
        Ok(Self::header_of(directory)?.map_or((0, 0), told))
    }

    /// The checkpoint of this number is on the disk.
    pub(crate) fn has_checkpoint(&self, number: u64) {
        self.long(at::CHECKPOINT).store(number.to_le(), Ordering::Release);
    }

    /// The file for writing, if it has ever had sums of all pages of a state.
    fn stored_for(directory: &Path, page_size: usize) -> Result<Option<Self>> {
        let path = file_path(directory);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(write_error(&path, "open it for writing", &error)),
        };
        let found = Self::mapped(path, file, true, 0)?;
        Ok(found.filter(|found| found.is_of(page_size) && found.covered() != 0))
    }

    fn vouch(&self, transaction: u64, metas: [u32; 2], intent: u64) -> Result<()> {
        self.intend(intent);
        self.cover(transaction, metas);
        self.number(at::IN_USE).store(0, Ordering::Release);
        self.sync()
    }

    fn mapped(path: PathBuf, file: File, writable: bool, most: usize) -> Result<Option<Self>> {
        let length =
            platform::file_length(&file).map_err(|e| io_error(&path, "read the size", &e))?;
        if length < HEADER {
            return Ok(None);
        }
        let header = map(&file, 0, HEADER, writable);
        let header = header.map_err(|error| io_error(&path, "map it", &error))?;
        let chunks = (0..most.div_ceil(CHUNK)).map(|_| OnceLock::new()).collect();
        let (durable, wanting) = Default::default();
        Ok(Some(Self { path, file, writable, durable, header, wanting, chunks }))
    }

    fn is_of(&self, page_size: usize) -> bool {
        self.loaded_long(at::MAGIC) == MAGIC
            && self.loaded(at::VERSION) == VERSION
            && self.loaded(at::PAGE_SIZE) as usize == page_size
    }

    /// What it holds. A power cut, a disk that was lost or a snapshot of one may have left it behind
    /// the data file, and each page of it at another time.
    pub(super) fn found(&self) -> Found {
        let in_use = self.loaded(at::IN_USE) != 0;
        let there = MOUNTED_FILE.map(|at| self.loaded_long(at));
        let same = platform::mounted_file(&self.file) == Some(there);
        Found { covered: self.covered(), whole: !in_use || same }
    }

    /// From here on the file may lag behind what the system has been told.
    pub(super) fn begin_use(&self) -> Result<()> {
        self.store_place(platform::mounted_file(&self.file).unwrap_or_default());
        self.number(at::IN_USE).store(1u32.to_le(), Ordering::Release);
        self.sync_if_durable()
    }

    fn store_place(&self, place: [u64; MOUNTED_FILE.len()]) {
        for (at, value) in MOUNTED_FILE.into_iter().zip(place) {
            self.long(at).store(value.to_le(), Ordering::Relaxed);
        }
    }

    /// The sums of a state are on the disk, or those of a generation that is not in use yet are all there.
    pub(super) fn end_use(&self) -> Result<()> {
        self.intend(self.covered());
        self.number(at::IN_USE).store(0, Ordering::Release);
        self.sync_if_durable()
    }

    pub(super) fn sync_if_durable(&self) -> Result<()> {
        if self.durable { self.sync() } else { Ok(()) }
    }

    /// Puts everything on the disk.
    pub(crate) fn sync(&self) -> Result<()> {
        // What was stored into a map reaches the file by itself, and the disk with this.
        self.file.sync_data().map_err(|error| {
            // Another sync would not tell of it again: whoever opens the file next makes them anew.
            self.store_place([0; MOUNTED_FILE.len()]);
            sync_error(&self.path, &error)
        })
    }

    /// The transaction whose pages the sums cover.
    pub(super) fn covered(&self) -> u64 {
        self.loaded_long(at::COVERED)
    }

    /// The transaction that was last begun to be committed.
    pub(super) fn intent(&self) -> u64 {
        self.loaded_long(at::INTENT)
    }

    /// This transaction may be committed from here on.
    pub(super) fn intend(&self, transaction: u64) {
        self.long(at::INTENT).store(transaction.to_le(), Ordering::Release);
    }

    /// What is acknowledged will be in the state of this transaction, and is in the log up to this frame.
    pub(super) fn owe(&self, transaction: u64, frame: u64) {
        self.long(at::FRAME).store(frame.to_le(), Ordering::Release);
        self.long(at::OWED).store(transaction.to_le(), Ordering::Release);
    }

    /// The transaction of which that is true; it may have been committed since.
    pub(super) fn owed(&self) -> u64 {
        self.loaded_long(at::OWED)
    }

    /// Tells the writer that somebody waits for what it owes.
    pub(super) fn want(&self) {
        if let Some(map) = &self.wanting {
            // SAFETY: the place lies in the header, which is mapped for writing as long as `self` lives, and is
            // aligned. All who change it do it by atomic additions.
            #[allow(unsafe_code)]
            let wanted = unsafe { &*map.as_mut_ptr().add(at::WANTED).cast::<AtomicU64>() };
            wanted.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// How often that was told.
    pub(super) fn wanted(&self) -> u64 {
        self.long(at::WANTED).load(Ordering::Acquire)
    }

    /// The sum of a meta page, 0 or 1.
    pub(super) fn meta(&self, page: usize) -> u32 {
        let [first, second] = METAS;
        self.loaded(if page == 0 { first } else { second })
    }

    /// The sums are those of this transaction, whose meta pages have these.
    pub(super) fn cover(&self, transaction: u64, metas: [u32; 2]) {
        for (at, sum) in METAS.into_iter().zip(metas) {
            self.number(at).store(sum.to_le(), Ordering::Relaxed);
        }
        self.long(at::COVERED).store(transaction.to_le(), Ordering::Release);
    }

    /// Whether a page is as its sum says. `None` while there is no sum for it.
    #[expect(clippy::indexing_slicing, reason = "a remainder is a place of the chunk")]
    pub(super) fn holds(&self, page: u64, bytes: &[u8]) -> Result<Option<bool>> {
        let Some(chunk) = self.chunk(page)? else { return Ok(None) };
        let place = page as usize % CHUNK;
        let wanted = u32::from_le(chunk.sum(place).load(Ordering::Relaxed));
        let seen = &chunk.seen[place];
        if wanted == 0 {
            return Ok(None);
        }
        if seen.load(Ordering::Relaxed) == wanted {
            return Ok(Some(true));
        }
        let holds = sum_of(bytes) == wanted;
        if holds {
            seen.store(wanted, Ordering::Relaxed);
        }
        Ok(Some(holds))
    }

    /// The sum of a page, as it is stored.
    #[cfg(test)]
    pub(super) fn stored(&self, page: u64) -> Result<Option<u32>> {
        let chunk = self.chunk(page)?;
        Ok(chunk
            .map(|chunk| u32::from_le(chunk.sum(page as usize % CHUNK).load(Ordering::Relaxed))))
    }

    /// Makes room for the sums of pages up to this one.
    pub(super) fn reserve(&self, page: u64) -> Result<()> {
        if self.chunk(page)?.is_none() {
            lengthen(&self.path, &self.file, (page / CHUNK as u64 + 1) * CHUNK_BYTES + HEADER)?;
        }
        Ok(())
    }

    /// Notes the sum of a page that this process has written.
    #[expect(clippy::indexing_slicing, reason = "a remainder is a place of the chunk")]
    pub(super) fn set(&self, page: u64, bytes: &[u8]) -> Result<()> {
        let chunk = match self.chunk(page)? {
            Some(chunk) => chunk,
            None => {
                self.reserve(page)?;
                self.chunk(page)?.ok_or_else(|| short(&self.path))?
            }
        };
        let (place, sum) = (page as usize % CHUNK, sum_of(bytes));
        chunk.sum(place).store(sum.to_le(), Ordering::Relaxed);
        chunk.seen[place].store(sum, Ordering::Relaxed);
        Ok(())
    }

    /// Whether this process has found a page right with the sum that it has now.
    #[inline]
    pub(super) fn is_seen(&self, page: u64) -> bool {
        let place = page as usize % CHUNK;
        let chunk = self.chunks.get((page / CHUNK as u64) as usize).and_then(OnceLock::get);
        let Some(chunk) = chunk else { return false };
        let wanted = u32::from_le(chunk.sum(place).load(Ordering::Relaxed));
        let seen = chunk.seen.get(place).map_or(0, |seen| seen.load(Ordering::Relaxed));
        wanted != 0 && seen == wanted
    }

    fn chunk(&self, page: u64) -> Result<Option<&Chunk>> {
        let index = (page / CHUNK as u64) as usize;
        let Some(place) = self.chunks.get(index) else { return Ok(None) };
        if let Some(chunk) = place.get() {
            return Ok(Some(chunk));
        }
        let failed = |error| io_error(&self.path, "map it", &error);
        let begin = HEADER + index as u64 * CHUNK_BYTES;
        if platform::file_length(&self.file).map_err(failed)? < begin + CHUNK_BYTES {
            return Ok(None);
        }
        let sums = map(&self.file, begin, CHUNK_BYTES, self.writable).map_err(failed)?;
        let seen = (0..CHUNK).map(|_| AtomicU32::new(0)).collect();
        Ok(Some(place.get_or_init(|| Box::new(Chunk { sums, seen }))))
    }

    /// A number of the header, with what was stored before it was.
    fn loaded(&self, at: usize) -> u32 {
        let loaded = u32::from_le(self.number(at).load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        loaded
    }

    fn loaded_long(&self, at: usize) -> u64 {
        let loaded = u64::from_le(self.long(at).load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        loaded
    }

    fn number(&self, at: usize) -> &AtomicU32 {
        assert!(at < HEADER as usize && at.is_multiple_of(4));
        // SAFETY: the place lies in the header, which is mapped as long as `self` lives, and is aligned.
        // Other processes change it by atomic stores as well. A reader, whose map cannot be written, only
        // loads, and relaxed: nothing else is allowed there.
        #[allow(unsafe_code)]
        unsafe {
            &*self.header.as_mut_ptr().add(at).cast()
        }
    }

    fn long(&self, at: usize) -> &AtomicU64 {
        assert!(at < HEADER as usize && at.is_multiple_of(8));
        // SAFETY: as above.
        #[allow(unsafe_code)]
        unsafe {
            &*self.header.as_mut_ptr().add(at).cast()
        }
    }
}

impl Chunk {
    fn sum(&self, place: usize) -> &AtomicU32 {
        assert!(place < CHUNK);
        // SAFETY: the place lies in the chunk, which is mapped as long as `self` lives, and is aligned.
        // For the rest, as above.
        #[allow(unsafe_code)]
        unsafe {
            &*self.sums.as_mut_ptr().cast::<AtomicU32>().add(place)
        }
    }
}

/// What is known of the sums of a file that is read by itself.
pub(crate) enum FoundSums {
    /// There are none.
    Missing,
    /// They say nothing of the data file; why.
    Unusable(&'static str),
    Usable(StoredSums),
}

/// Sums as they are stored, read without a map.
pub(crate) struct StoredSums {
    bytes: Vec<u8>,
    covered: u64,
}

impl FoundSums {
    /// Reads those of a data file of so many pages, if they are of pages of this size. With a transaction that
    /// is put back, and the sums of its meta pages, what is stored is right for its pages.
    pub(super) fn read(
        directory: &Path,
        page_size: usize,
        pages: u64,
        put_back: Option<(u64, [u32; 2])>,
    ) -> Self {
        let parse = |bytes, here: Option<[u64; 5]>| {
            Self::parse(bytes, page_size, |there| here == Some(there), put_back)
        };
        Self::read_by(directory, pages, &parse)
    }

    /// The same, as if they lay where they were written. They may be older than the data, or newer.
    pub(super) fn read_copied(directory: &Path, page_size: usize, pages: u64) -> Self {
        let parse = |bytes, _| Self::parse(bytes, page_size, |_| true, None);
        Self::read_by(directory, pages, &parse)
    }

    fn read_by(
        directory: &Path,
        pages: u64,
        parse: &dyn Fn(Vec<u8>, Option<[u64; 5]>) -> Self,
    ) -> Self {
        let path = file_path(directory);
        let most = pages.saturating_mul(4).saturating_add(HEADER);
        let file = match std::fs::metadata(&path).map(|told| told.is_file()) {
            Ok(true) => File::open(&path),
            Ok(false) => return Self::Unusable("is no file"),
            Err(error) => Err(error),
        };
        let mut bytes = Vec::new();
        let read = file.and_then(|file| {
            (&file).take(most).read_to_end(&mut bytes)?;
            Ok(platform::mounted_file(&file))
        });
        match read {
            Ok(here) => parse(bytes, here),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::Missing,
            Err(_) => Self::Unusable("cannot be read"),
        }
    }

    fn parse(
        mut bytes: Vec<u8>,
        page_size: usize,
        is_here: impl Fn([u64; 5]) -> bool,
        put_back: Option<(u64, [u32; 2])>,
    ) -> Self {
        if (bytes.len() as u64) < HEADER {
            return Self::Unusable("is cut off");
        }
        if long_at(&bytes, at::MAGIC) != MAGIC || number_at(&bytes, at::VERSION) != VERSION {
            return Self::Unusable("does not begin as it must");
        }
        if number_at(&bytes, at::PAGE_SIZE) as usize != page_size {
            return Self::Unusable("is of pages of another size");
        }
        if let Some((covered, metas)) = put_back {
            for (at, sum) in METAS.into_iter().zip(metas) {
                if let Some(place) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
                    *place = sum.to_le_bytes();
                }
            }
            return Self::Usable(StoredSums { bytes, covered });
        }
        let covered = long_at(&bytes, at::COVERED);
        if covered == 0 {
            return Self::Unusable("was only begun");
        }
        let there = MOUNTED_FILE.map(|at| long_at(&bytes, at));
        if number_at(&bytes, at::IN_USE) != 0 && !is_here(there) {
            return Self::Unusable("may be older than the data: it was in use, and not here");
        }
        Self::Usable(StoredSums { bytes, covered })
    }
}

impl StoredSums {
    /// The transaction whose pages the sums cover.
    pub(super) fn covered(&self) -> u64 {
        self.covered
    }

    /// Whether a meta page is as its sum says.
    pub(super) fn holds_meta(&self, page: usize, bytes: &[u8]) -> bool {
        METAS.get(page).is_some_and(|at| number_at(&self.bytes, *at) == sum_of(bytes))
    }

    /// Whether a page is as its sum says. `None` when there is no sum for it.
    pub(super) fn holds(&self, page: u64, bytes: &[u8]) -> Option<bool> {
        let place = usize::try_from(page).ok()?.checked_mul(4)?.checked_add(HEADER as usize)?;
        let sum = self.bytes.get(place..)?.first_chunk().map(|sum| u32::from_le_bytes(*sum))?;
        (sum != 0).then(|| sum == sum_of(bytes))
    }
}

fn number_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |it| u32::from_le_bytes(*it))
}

fn long_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |it| u64::from_le_bytes(*it))
}

/// Where the sums of a generation lie.
pub(super) fn file_path(directory: &Path) -> PathBuf {
    directory.join("data.sums")
}

fn map(file: &File, begin: u64, length: u64, writable: bool) -> std::io::Result<MmapRaw> {
    let mut options = MmapOptions::new();
    options.offset(begin).len(length as usize);
    if writable { options.map_raw(file) } else { options.map_raw_read_only(file) }
}

/// Lengthens a file by zeros that have their place on the disk: what is stored into a map must not find
/// the disk full.
fn lengthen(path: &Path, file: &File, end: u64) -> Result<()> {
    let written = platform::file_length(file).and_then(|length| {
        platform::write_at(file, &vec![0; end.saturating_sub(length) as usize], length)
    });
    written.map_err(|error| io_error(path, "lengthen it", &error))
}

fn short(path: &Path) -> embedded_db_common::Error {
    embedded_db_common::Error::StorageError {
        path: path.to_owned(),
        detail: "it is shorter than it was made; another program has changed it".into(),
    }
}
