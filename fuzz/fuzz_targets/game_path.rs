//! Paths: what parses is a path on every system.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| lanspread_fuzz::wire::game_path(data));
