//! The second phase: potentials leak, take in what was given, and neurons fire.

use crate::candidates::{BLOCK, Candidates};
use crate::neurons::Neurons;
use crate::random::Chance;

/// What a synapse of full weight and conductance gives is 1.
const UNIT: f32 = 1.0 / 65_025.0;
/// Potentials nearer to zero are zero: they would become numbers with which processors are slow.
const LEAST: f32 = 1.0 / 1_048_576.0;

/// What is the same for all neurons in a burst.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a> {
    /// Who is given power, in order, each once.
    pub(crate) power: &'a [u32],
    pub(crate) power_amount: f32,
    /// What is to be added to sums, by neuron, each once.
    pub(crate) spilled: &'a [(u32, i64)],
    pub(crate) chance: Chance,
}

/// Blocks that lie beside one another.
pub(crate) struct Part<'a> {
    /// The number of the first neuron.
    first: usize,
    potentials: &'a mut [f32],
    countdowns: &'a mut [u16],
    thresholds: &'a [f32],
    leak_rates: &'a [f32],
    excitabilities: &'a [f32],
    refractory_periods: &'a [u16],
    /// Not 0 for a block in which a neuron has a potential or rests.
    awake: &'a mut [u8],
    /// What each thread has propagated: sums, and which blocks have some.
    propagated: Vec<(&'a mut [i32], &'a mut [u8])>,
}

/// All neurons in parts of so many blocks.
pub(crate) fn parts<'a>(
    neurons: &'a mut Neurons,
    awake: &'a mut [u8],
    candidates: &'a mut [Candidates],
    blocks: usize,
) -> Vec<Part<'a>> {
    let size = blocks * BLOCK;
    let mut lanes: Vec<_> = candidates
        .iter_mut()
        .map(|lane| lane.sums.chunks_mut(size).zip(lane.given.chunks_mut(blocks)))
        .collect();
    let states = neurons.potentials.chunks_mut(size).zip(neurons.countdowns.chunks_mut(size));
    let firing = neurons.thresholds.chunks(size).zip(neurons.excitabilities.chunks(size));
    let fading = neurons.leak_rates.chunks(size).zip(neurons.refractory_periods.chunks(size));
    let all = states.zip(firing).zip(fading).zip(awake.chunks_mut(blocks)).enumerate();
    all.map(|(at, ((((potentials, countdowns), firing), fading), awake))| Part {
        first: at * size,
        potentials,
        countdowns,
        thresholds: firing.0,
        excitabilities: firing.1,
        leak_rates: fading.0,
        refractory_periods: fading.1,
        awake,
        propagated: lanes.iter_mut().filter_map(Iterator::next).collect(),
    })
    .collect()
}

impl Part<'_> {
    /// Advances its neurons, and adds those that fire to the list, in order: the same code for whatever
    /// instructions the processor has, which round alike.
    pub(crate) fn advance(&mut self, given: Given<'_>, fired: &mut Vec<u32>) {
        #[cfg(target_arch = "x86_64")]
        {
            let has_512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            if has_512 {
                // SAFETY: the processor has these instructions.
                #[allow(unsafe_code)]
                return unsafe { self.advance_avx512(given, fired) };
            }
            if is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has these instructions.
                #[allow(unsafe_code)]
                return unsafe { self.advance_avx2(given, fired) };
            }
        }
        self.advance_blocks(given, fired);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn advance_avx512(&mut self, given: Given<'_>, fired: &mut Vec<u32>) {
        self.advance_blocks(given, fired);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn advance_avx2(&mut self, given: Given<'_>, fired: &mut Vec<u32>) {
        self.advance_blocks(given, fired);
    }

    #[inline(always)]
    fn advance_blocks(&mut self, given: Given<'_>, fired: &mut Vec<u32>) {
        let mut given = given;
        let first = |neuron: u32| (neuron as usize) < self.first;
        given.power = &given.power[given.power.partition_point(|&it| first(it))..];
        given.spilled = &given.spilled[given.spilled.partition_point(|it| first(it.0))..];
        let (whole, rest) = (self.potentials.len() / BLOCK, self.potentials.len() % BLOCK);
        for block in 0..whole {
            self.advance_block(block, BLOCK, &mut given, fired);
        }
        if rest > 0 {
            self.advance_block(whole, rest, &mut given, fired);
        }
    }

    /// Compiled twice: for whole blocks, whose loops have a length that is known, and for the last one.
    #[inline(always)]
    fn advance_block(
        &mut self,
        block: usize,
        size: usize,
        given: &mut Given<'_>,
        fired: &mut Vec<u32>,
    ) {
        let (begin, end) = (block * BLOCK, block * BLOCK + size);
        let powered = split_off(&mut given.power, self.first + end, |&neuron| neuron);
        let more = split_off(&mut given.spilled, self.first + end, |it| it.0);
        let is_given = self.gather(block, begin, end);
        if !is_given && powered.is_empty() && self.awake[block] == 0 {
            return;
        }
        self.leak(begin, end);
        for &(neuron, amount) in more {
            self.take_much(neuron as usize - self.first, amount);
        }
        if is_given {
            self.take_in(begin, end);
        }
        for &neuron in powered {
            self.take_power(neuron as usize - self.first, given.power_amount);
        }
        let mut ready = self.ready(begin, end);
        while ready != 0 {
            let at = begin + ready.trailing_zeros() as usize;
            ready &= ready - 1;
            let neuron = (self.first + at) as u32;
            let excitability = self.excitabilities[at];
            if excitability >= 1.0 || given.chance.of(neuron) < excitability {
                self.potentials[at] = 0.0;
                self.countdowns[at] = self.refractory_periods[at];
                fired.push(neuron);
            }
        }
        self.awake[block] = u8::from(self.is_awake(begin, end));
    }

    /// Puts what other threads have propagated to what the first has; tells whether there is any.
    #[inline(always)]
    fn gather(&mut self, block: usize, begin: usize, end: usize) -> bool {
        let Some(((sums, given), others)) = self.propagated.split_first_mut() else { return false };
        let sums = &mut sums[begin..end];
        for (more, is_given) in others {
            if std::mem::take(&mut is_given[block]) != 0 {
                given[block] = 1;
                for (sum, more) in sums.iter_mut().zip(&mut more[begin..end]) {
                    *sum += std::mem::take(more);
                }
            }
        }
        std::mem::take(&mut given[block]) != 0
    }

    #[inline(always)]
    fn leak(&mut self, begin: usize, end: usize) {
        let leak_rates = &self.leak_rates[begin..end];
        for (potential, leak_rate) in self.potentials[begin..end].iter_mut().zip(leak_rates) {
            let left = *potential * (1.0 - leak_rate);
            *potential = if left.abs() < LEAST { 0.0 } else { left };
        }
    }

    #[inline(always)]
    fn take_in(&mut self, begin: usize, end: usize) {
        let sums = self.propagated[0].0[begin..end].iter_mut();
        let potentials = self.potentials[begin..end].iter_mut();
        for ((potential, sum), countdown) in potentials.zip(sums).zip(&self.countdowns[begin..end])
        {
            let input = *sum as f32 * UNIT;
            *potential += if *countdown == 0 { input } else { 0.0 };
            *sum = 0;
        }
    }

    /// Takes in a sum together with what did not fit into it.
    fn take_much(&mut self, at: usize, more: i64) {
        let sum = more + i64::from(std::mem::take(&mut self.propagated[0].0[at]));
        if self.countdowns[at] == 0 {
            self.potentials[at] += sum as f32 * UNIT;
        }
    }

    fn take_power(&mut self, at: usize, amount: f32) {
        if self.countdowns[at] == 0 {
            let potential = &mut self.potentials[at];
            *potential = (*potential + amount).clamp(f32::MIN, f32::MAX);
        }
    }

    /// A bit for each neuron of a block that does not rest and is at its threshold; the others rest one
    /// burst less.
    #[inline(always)]
    fn ready(&mut self, begin: usize, end: usize) -> u64 {
        let mut flags = [0_u8; BLOCK];
        let potentials = self.potentials[begin..end].iter().zip(&self.thresholds[begin..end]);
        let countdowns = &mut self.countdowns[begin..end];
        let mut rest = 0;
        for ((flag, (potential, threshold)), countdown) in
            flags.iter_mut().zip(potentials).zip(&*countdowns)
        {
            *flag = u8::from(*potential >= *threshold) & u8::from(*countdown == 0);
            rest |= *countdown;
        }
        // What is not written need not go back to the memory.
        if rest != 0 {
            countdowns.iter_mut().for_each(|it| *it = it.saturating_sub(1));
        }
        let (bytes, _) = flags.as_chunks::<8>();
        bytes.iter().enumerate().fold(0, |bits, (at, eight)| {
            // Each flag's bit is moved to a place of its own in the highest byte.
            let packed = u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
            bits | packed << (8 * at)
        })
    }

    #[inline(always)]
    fn is_awake(&self, begin: usize, end: usize) -> bool {
        let potentials = &self.potentials[begin..end];
        let some = potentials.iter().fold(0, |bits, potential| bits | potential.to_bits());
        let rest = self.countdowns[begin..end].iter().fold(0, |bits, countdown| bits | countdown);
        some & !(1 << 31) != 0 || rest != 0
    }
}

/// Takes those of a list in order that belong to neurons below `end`, which are few.
#[inline(always)]
fn split_off<'a, T>(list: &mut &'a [T], end: usize, neuron: impl Fn(&T) -> u32) -> &'a [T] {
    let at = list.iter().take_while(|item| (neuron(item) as usize) < end).count();
    let (own, others) = list.split_at(at);
    *list = others;
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: usize = 1000;

    /// Neurons of all kinds and what they are given, always the same.
    fn network() -> (Neurons, Vec<u8>, Vec<Candidates>) {
        let (mut neurons, mut lanes) = (Neurons::default(), vec![Candidates::default()]);
        neurons.grow(COUNT).unwrap();
        lanes[0].grow(COUNT).unwrap();
        let chance = Chance::new(3, 4);
        for at in 0..COUNT {
            let share = |nth: usize| chance.of((at * 8 + nth) as u32);
            neurons.potentials[at] = share(0) * 2.0 - 1.0;
            neurons.thresholds[at] = share(1) + 0.01;
            neurons.leak_rates[at] = share(2);
            neurons.excitabilities[at] = share(3) * 2.0;
            neurons.refractory_periods[at] = (at % 3) as u16;
            neurons.countdowns[at] = (at % 7 == 0) as u16 * 2;
            lanes[0].sums[at] = ((share(4) - 0.3) * 100_000.0) as i32;
        }
        lanes[0].given[2..].fill(1);
        (neurons, vec![1; COUNT.div_ceil(BLOCK)], lanes)
    }

    /// Bursts by one set of instructions: who fired, and the potentials at last.
    fn run(advance: impl Fn(&mut Part<'_>, Given<'_>, &mut Vec<u32>)) -> (Vec<u32>, Vec<u32>) {
        let (mut neurons, mut awake, mut lanes) = network();
        let mut fired = Vec::new();
        for burst in 0..5 {
            let given = Given {
                power: &[1, 70, 999],
                power_amount: 0.7,
                spilled: &[(200, 1 << 40)],
                chance: Chance::new(1, burst),
            };
            let mut all = parts(&mut neurons, &mut awake, &mut lanes, COUNT);
            advance(&mut all[0], given, &mut fired);
        }
        (fired, neurons.potentials.iter().map(|it| it.to_bits()).collect())
    }

    #[test]
    fn all_instructions_round_alike() {
        let expected = run(|part, given, fired| part.advance_blocks(given, fired));
        assert!((150..4500).contains(&expected.0.len()), "{}", expected.0.len());
        assert!(run(|part, given, fired| part.advance(given, fired)) == expected);
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has these instructions.
            #[allow(unsafe_code)]
            let other = run(|part, given, fired| unsafe { part.advance_avx2(given, fired) });
            assert!(other == expected);
        }
    }
}
