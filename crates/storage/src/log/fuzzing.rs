//! What a log says, and a small database that is opened with one: whatever stands there, what is whole is
//! read as it was written, and opening ends with a database or tells the damage.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use arbitrary::{Result as Given, Unstructured};
use embedded_db_common::record::{Read, put_varint, seal};
use embedded_db_common::{Error, NamespaceId, Options, Result};
use tempfile::TempDir;

use super::changes::{self, Change, Changes, Patch};
use super::checkpoint::{self, Checkpoint, CheckpointFile};
use super::file::{HEADER, Stretch, path_of, salt_of};
use super::frame::{self, Frame};
use crate::fuzzing::{alone, memory};
use crate::invariants::check_invariants;
use crate::keys::Table;
use crate::platform;
use crate::read::ReadTxn;
use crate::rows::Rows;
use crate::store::Store;

/// Reads bytes as changes, as a frame, as a checkpoint, and as what is to be changed of a log with which a
/// database is opened.
///
/// # Panics
///
/// When what was read is not what stands there, when an error is none of damage, or when a database that
/// was opened for writing cannot be read after that.
pub fn log(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    match kind % 4 {
        0 => changes_of(rest),
        1 => frame_of(rest),
        2 => checkpoint_of(rest),
        _ => recovered(rest),
    }
}

fn changes_of(bytes: &[u8]) {
    let found: Read<Vec<Change<'_>>> = changes::read(bytes).collect();
    let mut again = Changes::default();
    for change in changes::read(bytes).map_while(Result::ok) {
        again.push(change);
        if let Change::Patch { patch, .. } = change {
            patched(&patch, bytes);
        }
    }
    let again = again.as_bytes().expect("no more than was read");
    assert!(bytes.starts_with(again));
    assert!(found.is_err() || again == bytes);
}

/// What a patch makes of a value is what one between the two makes of it.
fn patched(patch: &Patch<'_>, before: &[u8]) {
    let Ok(after) = patch.apply(before) else { return };
    if let Some(patch) = Patch::between(before, &after) {
        assert_eq!(patch.apply(before), Ok(after));
    }
}

/// A frame as it stands there, and with a right checksum, which would keep most from being looked at.
fn frame_of(bytes: &[u8]) {
    let Some(salt) = bytes.first_chunk().map(|salt| u64::from_le_bytes(*salt)) else { return };
    let mut sealed = bytes.to_vec();
    let is_sealed = frame::seal(&mut sealed);
    for bytes in [bytes, &sealed] {
        let Some((frame, length)) = Frame::parse(bytes, salt) else { continue };
        changes_of(frame.changes);
        let again = frame.encode(salt);
        assert_eq!(again.len(), length);
        assert_eq!(Frame::parse(&again, salt), Some((frame, length)));
        assert_eq!(again[..48], bytes[..48]);
        assert_eq!(Frame::parse(bytes, !salt), None);
    }
    assert_eq!(Frame::parse(&sealed, salt).is_some(), is_sealed);
}

fn checkpoint_of(bytes: &[u8]) {
    let mut place = [0; checkpoint::SIZE];
    place.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
    let mut sealed = place;
    checkpoint::seal(&mut sealed);
    for place in [place, sealed] {
        let Some(found) = Checkpoint::parse(&place) else { continue };
        let again = found.encode();
        assert_eq!(Checkpoint::parse(&again), Some(found));
        // Behind the number that says whether it is in use, up to the zeros.
        assert_eq!(again[16..408], place[16..408]);
    }
}

/// A database that is in use, as a copy has it, and in whose log are a few frames.
struct Image(Vec<(PathBuf, Vec<u8>)>);

const DIRECTORY: &str = "gen-0000000001";
const FRAMES: u32 = 6;

static IMAGE: LazyLock<Image> = LazyLock::new(|| {
    let home = TempDir::new_in(memory()).expect("a directory for a while");
    Image::make(home.path()).expect("a small database")
});

impl Image {
    fn make(path: &Path) -> Result<Self> {
        let store = Store::open(path, &Options::default())?;
        if cfg!(test) {
            // The map of a unit test would have to grow, which makes a checkpoint.
            store.generation().resize(1 << 28, store.lost())?;
        }
        store.write(|txn| txn.create_namespace("default"))?;
        let insert = |n: u32| {
            store.write(move |txn| {
                let label = txn.intern("Thing")?;
                let id = format!("node {n}");
                txn.insert_node(NamespaceId::DEFAULT, &id, &[label], &[], false, None).map(drop)
            })
        };
        (0..40).try_for_each(insert)?;
        store.make_checkpoint();
        (40..40 + FRAMES).try_for_each(insert)?;
        let mut files = Vec::new();
        for name in ["CURRENT", "data.mdb", "data.sums", "ckpt", "log.0", "log.1"] {
            let folder = if name == "CURRENT" { "" } else { DIRECTORY };
            let name = Path::new(folder).join(name);
            let bytes = fs::read(path.join(&name));
            files.push((name, bytes.map_err(|e| platform::io_error(path, "read it", &e))?));
        }
        store.close();
        Ok(Self(files))
    }

    fn copy(&self) -> TempDir {
        let home = TempDir::new_in(memory()).expect("a directory for a while");
        fs::create_dir(home.path().join(DIRECTORY)).expect("it is new");
        for (name, bytes) in &self.0 {
            fs::write(home.path().join(name), bytes).expect("there is room");
        }
        home
    }
}

fn recovered(bytes: &[u8]) {
    let home = IMAGE.copy();
    let directory = home.path().join(DIRECTORY);
    // What it has no bytes for is left as it is.
    let _end = change(&directory, &mut Unstructured::new(bytes));
    alone(|| opened(home.path()));
}

fn opened(path: &Path) {
    let reading = Options { read_only: true, ..Options::default() };
    if let Some(store) = told(Store::open(path, &reading)) {
        used(&store);
    }
    let Some(store) = told(Store::open(path, &Options::default())) else { return };
    used(&store);
    told(store.write(|txn| txn.intern("later").map(drop)));
    store.close();
    drop(store);
    match Store::open(path, &reading) {
        Ok(store) => used(&store),
        Err(error) => panic!("what was opened and closed cannot be read: {error}"),
    }
}

/// Reads every row.
fn used(store: &Arc<Store>) {
    let Some(snapshot) = told(store.read()) else { return };
    told(check_invariants(&snapshot, &|| Ok(()), &mut |text| assert!(!text.is_empty())));
    let rows: Rows<'_> = snapshot.rows();
    for table in Table::ALL {
        told(
            rows.between(table, &[], None)
                .and_then(|mut rows| rows.try_for_each(|row| row.map(drop))),
        );
    }
}

fn told<T>(done: Result<T>) -> Option<T> {
    match done {
        Ok(done) => Some(done),
        Err(Error::Corruption { .. } | Error::RecoveryNeeded { .. }) => None,
        Err(other) => panic!("{other}"),
    }
}

/// A frame that can be changed.
struct Said {
    number: u64,
    transaction: u64,
    synced: u64,
    lsn: u64,
    changes: Vec<u8>,
}

/// Writes the log and the checkpoint anew, with right checksums.
fn change(directory: &Path, given: &mut Unstructured<'_>) -> Given<()> {
    let mut last = checkpoint::newest(directory)
        .expect("it can be read")
        .expect("commits of the small database are logged");
    let found = Stretch::read(directory, last.stretch, last.salt).expect("it can be read");
    let mut frames: Vec<Said> = found
        .iter()
        .flat_map(|stretch| stretch.frames_from(0))
        .map(|Frame { number, transaction, synced, lsn, changes }| Said {
            number,
            transaction,
            synced,
            lsn,
            changes: changes.to_vec(),
        })
        .collect();
    assert_eq!(frames.len(), FRAMES as usize);
    let told = told_of(given, &mut last, &mut frames);
    if given.arbitrary().unwrap_or_default() {
        // It is where it was written: nothing is put back.
        let data = File::open(directory.join("data.mdb")).expect("it is there");
        last.place = platform::file_place(&data).unwrap_or_default();
    }
    let salt = salt_of(last.salt, last.stretch);
    let mut log = HEADER.to_vec();
    for Said { number, transaction, synced, lsn, changes } in &frames {
        let (number, transaction, synced, lsn) = (*number, *transaction, *synced, *lsn);
        log.extend(Frame { number, transaction, synced, lsn, changes }.encode(salt));
    }
    if let Ok((at, byte)) = given.arbitrary::<(u16, u8)>() {
        log.iter_mut().skip(at.into()).take(1).for_each(|place| *place ^= byte);
    }
    fs::write(path_of(directory, last.stretch), log).expect("there is room");
    last.number = last.number.saturating_add(1);
    CheckpointFile::open(directory).and_then(|file| file.write(&last)).expect("it can be written");
    told
}

fn told_of(
    given: &mut Unstructured<'_>,
    last: &mut Checkpoint,
    frames: &mut Vec<Said>,
) -> Given<()> {
    for _ in 0..given.int_in_range(0..=4)? {
        let at = usize::from(given.arbitrary::<u8>()?);
        match given.int_in_range(0..=13)? {
            0 => last.transaction = number(given, last.transaction)?,
            1 => last.stretch = number(given, last.stretch)?,
            2 => last.number = number(given, last.number)?,
            3 => {
                let meta = last.metas.iter_mut().flatten();
                let from = usize::from(given.arbitrary::<u16>()?);
                let bytes: [u8; 8] = given.arbitrary()?;
                meta.skip(from).zip(bytes).for_each(|(place, byte)| *place = byte);
            }
            4 => last.sums = given.arbitrary()?,
            5 => frames.truncate(at),
            6 if at < frames.len() => drop(frames.remove(at)),
            7 if at < frames.len() => frames.swap(0, at),
            12 => last.frame = number(given, last.frame)?,
            kind => {
                let Some(frame) = frames.get_mut(at % FRAMES as usize) else { continue };
                match kind {
                    8 => frame.transaction = number(given, frame.transaction)?,
                    13 => frame.number = number(given, frame.number)?,
                    9 => frame.synced = number(given, frame.synced)?,
                    10 => {
                        let from = usize::from(given.arbitrary::<u16>()?);
                        let byte = given.arbitrary()?;
                        frame.changes.iter_mut().skip(from).take(1).for_each(|it| *it = byte);
                    }
                    _ => more(given, &mut frame.changes)?,
                }
            }
        }
    }
    Ok(())
}

/// A little more or less than it was, or any.
fn number(given: &mut Unstructured<'_>, before: u64) -> Given<u64> {
    Ok(match given.int_in_range(0..=3)? {
        0 => u64::MAX,
        1 => given.arbitrary()?,
        2 => before.saturating_sub(given.arbitrary::<u8>()?.into()),
        _ => before.saturating_add(given.arbitrary::<u8>()?.into()),
    })
}

/// One more change, of a key that was changed before or of any.
fn more(given: &mut Unstructured<'_>, all: &mut Vec<u8>) -> Given<()> {
    let keys: Vec<(Table, Vec<u8>)> = changes::read(all)
        .map_while(Result::ok)
        .map(|change| match change {
            Change::Put { table, key, .. }
            | Change::Patch { table, key, .. }
            | Change::Delete { table, key }
            | Change::DeleteBetween { table, from: key, .. } => (table, key.to_vec()),
        })
        .collect();
    let (mut table, mut key) = match keys.is_empty() {
        true => (Table::Meta, Vec::new()),
        false => given.choose(&keys)?.clone(),
    };
    if given.ratio(1, 4)? {
        table = *given.choose(&Table::ALL)?;
    }
    match given.int_in_range(0..=7)? {
        0 => key = given.arbitrary()?,
        1 => key.resize(given.int_in_range(0..=600)?, given.arbitrary()?),
        2 => key.clear(),
        _ => {}
    }
    let payload: Vec<u8> = given.arbitrary()?;
    let mut changes = Changes::default();
    match given.int_in_range(0..=3)? {
        0 => {
            let mut sealed = payload;
            seal(table as u8, &key, &mut sealed);
            changes.push(Change::Put { table, key: &key, sealed: &sealed });
        }
        1 => changes.push(Change::Delete { table, key: &key }),
        2 => changes.push(Change::DeleteBetween { table, from: &key, end: &payload }),
        _ => {
            // A patch with any numbers.
            let mut patch = vec![1, table as u8];
            embedded_db_common::record::put_bytes(&mut patch, &key);
            for _ in 0..2 {
                put_varint(&mut patch, number(given, 0)?);
            }
            embedded_db_common::record::put_bytes(&mut patch, &payload);
            patch.extend(given.arbitrary::<[u8; 4]>()?);
            all.extend(patch);
        }
    }
    all.extend_from_slice(changes.as_bytes().unwrap_or_default());
    Ok(())
}
