#![no_main]

use embedded_db_engine::fuzzing::rows;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| rows(bytes));
