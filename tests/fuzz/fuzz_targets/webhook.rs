#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| leadline_fuzz::targets::webhook::webhook(input));
