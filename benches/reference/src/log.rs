//! The redo log of a database, read beside its writer: what each of its commits did to rows.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Where the frames of a log file begin, and what they begin at multiples of.
const ALIGNMENT: u64 = 64;
const HEADER: usize = 56;

/// A row before and after: its table and key, and its sealed value, if there is one.
type Rows = BTreeMap<(u8, Vec<u8>), Option<Vec<u8>>>;

/// A frame, as it lies in the log.
pub struct Frame(Vec<u8>);

/// Follows the frames of a log.
pub struct Log {
    files: [File; 2],
    checkpoints: File,
    place: (usize, u64),
    next: u64,
}

impl Log {
    /// Of the generation in a directory; begins behind its last checkpoint.
    pub fn open(generation: &Path) -> Self {
        let open = |name| File::open(generation.join(name)).expect("a file of the database");
        let (files, checkpoints) = ([open("log.0"), open("log.1")], open("ckpt"));
        let mut log = Self { files, checkpoints, place: (0, ALIGNMENT), next: 0 };
        let [_, stretch, frame] = log.checkpoint();
        (log.place.0, log.next) = ((stretch & 1) as usize, frame + 1);
        log
    }

    /// Number, stretch and last frame of the newest checkpoint.
    pub fn checkpoint(&self) -> [u64; 3] {
        let numbers = |place: u64| {
            let mut bytes = [0; 408];
            self.checkpoints.read_exact_at(&mut bytes, place).expect("a checkpoint");
            [56, 72, 400].map(|at| number(&bytes, at))
        };
        numbers(0).max(numbers(4096))
    }

    /// The next frame, if there is one.
    pub fn next(&mut self) -> Option<Frame> {
        let (file, at) = self.place;
        [(file, at), (1 - file, ALIGNMENT)].into_iter().find_map(|(file, at)| {
            let mut header = [0; HEADER];
            self.files[file].read_exact_at(&mut header, at).ok()?;
            if number(&header, 8) != self.next {
                return None;
            }
            let length = HEADER + number(&header, 40) as usize;
            let mut bytes = vec![0; length.next_multiple_of(ALIGNMENT as usize)];
            self.files[file].read_exact_at(&mut bytes, at).expect("a whole frame");
            (self.place, self.next) = ((file, at + bytes.len() as u64), self.next + 1);
            Some(Frame(bytes))
        })
    }
}

impl Frame {
    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The rows that it leaves, each once, in the order of tables and keys. `before` tells a row that was there.
    pub fn rows(&self, before: impl Fn(u8, &[u8]) -> Option<Vec<u8>>) -> Rows {
        let end = HEADER + number(&self.0, 40) as usize;
        let (mut rest, mut rows) = (&self.0[HEADER..end], Rows::new());
        while !rest.is_empty() {
            let (kind, table) = (rest[0], rest[1]);
            rest = &rest[2..];
            let key = bytes(&mut rest).to_vec();
            let value = match kind {
                0 => Some(bytes(&mut rest).to_vec()),
                1 => {
                    let known = rows.get(&(table, key.clone())).cloned();
                    let old = known.unwrap_or_else(|| before(table, &key)).expect("a row to patch");
                    let old = &old[..old.len() - 4];
                    let (first, last) = (varint(&mut rest), varint(&mut rest));
                    let middle = bytes(&mut rest);
                    let (seal, behind) = rest.split_at(4);
                    rest = behind;
                    Some([&old[..first], middle, &old[old.len() - last..], seal].concat())
                }
                2 => None,
                other => panic!("the reference writes no rows of kind {other}"),
            };
            rows.insert((table, key), value);
        }
        rows
    }
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn varint(rest: &mut &[u8]) -> usize {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = rest[0];
        *rest = &rest[1..];
        value |= usize::from(byte & 127) << shift;
        if byte < 128 {
            return value;
        }
        shift += 7;
    }
}

fn bytes<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let length = varint(rest);
    let (bytes, behind) = rest.split_at(length);
    *rest = behind;
    bytes
}
