#![no_main]

#[path = "../bodies.rs"]
#[expect(dead_code, reason = "a target needs a part of it")]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::written(data));
