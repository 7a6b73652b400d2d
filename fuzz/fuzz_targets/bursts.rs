#![no_main]

use embedded_db_activation::fuzzing::bursts;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| bursts(bytes));
