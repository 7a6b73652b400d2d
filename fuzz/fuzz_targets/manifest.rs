#![no_main]

use embedded_db_fuzz::{Counted, bounded};
use embedded_db_storage::fuzzing::manifest;
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static ALLOCATOR: Counted = Counted;

fuzz_target!(|bytes: &[u8]| bounded(bytes, 1000, manifest));
