//! Manifests.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| lanspread_fuzz::wire::manifest(data));
