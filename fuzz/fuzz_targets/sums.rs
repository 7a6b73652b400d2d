#![no_main]

use embedded_db_storage::fuzzing::sums;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| sums(bytes));
