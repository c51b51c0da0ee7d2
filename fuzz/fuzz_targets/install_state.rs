//! Recovery of installs over any documents in the state directory.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| lanspread_fuzz::state::install(data));
