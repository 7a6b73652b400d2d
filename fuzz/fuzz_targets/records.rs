#![no_main]

use embedded_db_fuzz::{Counted, bounded};
use embedded_db_storage::fuzzing::records;
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static ALLOCATOR: Counted = Counted;

// A value in memory takes up to 40 bytes for one, and is read and written several times.
fuzz_target!(|bytes: &[u8]| bounded(bytes, 1000, records));
