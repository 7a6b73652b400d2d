#![no_main]

use embedded_db_engine::fuzzing::queries;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| queries(bytes));
