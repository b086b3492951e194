#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| portcullis_fuzz::provider_answer(input));
