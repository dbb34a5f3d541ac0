#![no_main]

#[path = "../bodies.rs"]
#[expect(dead_code, reason = "a target needs a part of it")]
mod bodies;
#[path = "../repeat.rs"]
mod repeat;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::loader(data));
libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    repeat::mutate(data, size, max_size, seed)
});
