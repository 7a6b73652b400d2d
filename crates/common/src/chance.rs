//! Chance that a seed rules, by SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).

/// What a state of the generator goes on by; an odd number that is far from regular.
pub const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finalizer of the generator: each bit of what comes out depends on each of what goes in.
pub fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// The next number of the generator.
pub fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(STEP);
    mixed(*state)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the reference implementation gives them for the seed 1,234,567.
    #[test]
    fn the_numbers_are_those_of_splitmix64() {
        let mut state = 1_234_567;
        let found: Vec<u64> = (0..3).map(|_| next(&mut state)).collect();
        let wanted =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(found, wanted);
    }
}
