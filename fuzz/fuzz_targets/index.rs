#![no_main]

use embedded_db_indexing::fuzzing::index;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| index(bytes));
