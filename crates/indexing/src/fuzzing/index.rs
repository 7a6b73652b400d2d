//! Saved indexes of vectors that are not as they were written.

use std::path::Path;
use std::sync::OnceLock;

use arbitrary::{Result as Given, Unstructured};
use embedded_db_common::{Digest, Error, Result};

use crate::vector::Metric;
use crate::vector::alone::{HnswIndex, HnswOptions, HnswRequest};
use crate::vector::graph::{Effort, Profile};

const DIM: usize = 3;
const DIGEST: usize = 32;
/// So many are linked.
const ROWS: usize = 4_200;

fn go_on() -> Result<()> {
    Ok(())
}

/// With a graph, a tail, and removals in both; and a small one without.
fn images() -> &'static [Vec<u8>; 2] {
    static IMAGES: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    IMAGES.get_or_init(|| {
        [(Metric::Euclidean, ROWS), (Metric::Cosine, 5)].map(|(metric, rows)| {
            let profile = Profile::Small;
            let index = HnswIndex::new(HnswOptions { dim: DIM, metric, profile, threads: 1 });
            let number = |i: usize| (i * 7919 % 1009) as f32 / 500.0 - 1.0;
            let vectors: Vec<f32> = (0..rows * DIM).map(number).collect();
            let added = index.add(&vectors, None, &go_on).expect("nothing interrupts it");
            added.expect("all numbers are finite");
            index.add(&[0.5; 6 * DIM], None, &go_on).ok();
            index.remove(&[1, rows as i64 + 2], &go_on).expect("they are there");
            index.to_bytes()
        })
    })
}

/// The bytes of a saved index with other ones in places that are given, and perhaps a right checksum.
fn changed(given: &mut Unstructured<'_>) -> Given<(Vec<u8>, bool)> {
    let image = &images()[usize::from(given.arbitrary::<bool>()?)];
    let mut bytes = image[..image.len() - DIGEST].to_vec();
    if given.arbitrary()? {
        bytes.truncate(given.int_in_range(0..=bytes.len())?);
    }
    let seals = given.arbitrary()?;
    while !given.is_empty() && !bytes.is_empty() {
        // The header, the end and all else.
        let last = bytes.len() - 1;
        let place = match given.int_in_range(0..=2)? {
            0 => given.int_in_range(0..=last.min(100))?,
            1 => last - given.int_in_range(0..=last.min(255))?,
            _ => given.int_in_range(0..=last)?,
        };
        bytes[place] = given.arbitrary()?;
    }
    let mut digest = Digest::default();
    digest.update(&bytes);
    let sum = if seals { digest.finish().bytes() } else { [0; DIGEST] };
    bytes.extend(sum);
    Ok((bytes, seals))
}

/// Changes a saved index, reads it, and uses what it says in every way.
///
/// # Panics
///
/// When a damage is told as something else, or an answer has what is not there.
pub fn index(bytes: &[u8]) {
    let Ok((bytes, is_sealed)) = changed(&mut Unstructured::new(bytes)) else { return };
    let index = match HnswIndex::from_bytes(Path::new("saved"), &bytes, 1) {
        Ok(index) => index,
        Err(Error::DamagedFile { .. } | Error::FormatTooNew { .. }) => return,
        Err(error) => panic!("told as {error}"),
    };
    assert!(is_sealed, "a checksum that does not agree");
    let dim = index.options().dim;
    let query = vec![0.25; dim];
    for effort in [Some(Effort::Fast), None] {
        for filter in [None, Some(&[0, 2, 3, i64::MAX][..])] {
            let request = HnswRequest { k: 7, effort, filter };
            let found = index.search(&query, &request, &go_on);
            // A wrong link that leads somewhere ends no search.
            let Ok(Ok(found)) = found else { continue };
            assert!(found.rows.iter().all(|id| index.contains(*id)));
            assert!(found.rows.len() <= index.len().min(7));
        }
    }
    let again = HnswIndex::from_bytes(Path::new("saved"), &index.to_bytes(), 1);
    assert_eq!(again.map(|again| again.len()).ok(), Some(index.len()));
    if let Ok(Ok(ids)) = index.add(&query, None, &go_on) {
        assert!(index.remove(&ids, &go_on).is_ok());
    }
}
