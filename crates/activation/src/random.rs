//! Chance as a function: no state, so that it does not matter who asks first.

use embedded_db_common::chance::{STEP, mixed};

/// The chances of one burst.
#[derive(Clone, Copy)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64, burst: u64) -> Self {
        Self(mixed(seed.wrapping_add(burst.wrapping_mul(STEP))))
    }

    /// From 0 up to, but without, 1; a multiple of 2⁻²⁴.
    pub(crate) fn of(self, neuron: u32) -> f32 {
        let own = (u64::from(neuron) + 1).wrapping_mul(0xd1b5_4a32_d192_ed03);
        (mixed(self.0.wrapping_add(own)) >> 40) as f32 * (1.0 / 16_777_216.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Chance;

    #[test]
    fn chances_are_spread_evenly_and_differ_between_bursts() {
        let (one, two) = (Chance::new(7, 1), Chance::new(7, 2));
        let below = (0..100_000).filter(|&neuron| one.of(neuron) < 0.25).count();
        assert!((24_300..25_700).contains(&below), "{below}");
        let both = (0..100_000).filter(|&n| one.of(n) < 0.5 && two.of(n) < 0.5).count();
        assert!((24_300..25_700).contains(&both), "{both}");
        assert!((0..100_000).all(|neuron| (0.0..1.0).contains(&one.of(neuron))));
    }
}
