//! RAR 4 and 5, header checksums put right.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| lanspread_fuzz::archive::rar(data));
