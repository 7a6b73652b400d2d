#![no_main]

use embedded_db_indexing::fuzzing::segments;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| segments(bytes));
