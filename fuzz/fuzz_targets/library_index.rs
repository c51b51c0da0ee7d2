//! The library's index and what belongs to it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| lanspread_fuzz::state::library(data));
