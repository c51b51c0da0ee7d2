//! Tar, as it is with header checksums put right, or in zstd, gzip, xz.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| lanspread_fuzz::archive::tar(data));
