#![no_main]

use embedded_db_storage::fuzzing::pages;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| pages(bytes));
