#![no_main]

use embedded_db_query::fuzzing::text;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| text(bytes));
