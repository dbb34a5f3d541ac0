//! Repeats a piece of an input many times over, which libFuzzer's own changes hardly ever do.
//!
//! What grows with depth or length (nested brackets, long chains of operators, lists of thousands) is
//! found by it in minutes.

/// One time in sixteen a repeated piece, else a change of libFuzzer's.
pub(crate) fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    if !seed.is_multiple_of(16) || size == 0 {
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    }
    let mut state = seed;
    let mut below = |bound: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % bound.max(1)
    };
    let start = below(size);
    let length = (1 + below(12)).min(size - start);
    let piece = data[start..start + length].to_vec();
    let times = (2_usize << below(13)).min((max_size - size) / length);
    let rest = data[start..size].to_vec();
    let added = piece.repeat(times);
    let end = start + added.len();
    data[start..end].copy_from_slice(&added);
    data[end..end + rest.len()].copy_from_slice(&rest);
    end + rest.len()
}
