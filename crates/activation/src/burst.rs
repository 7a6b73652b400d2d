//! One burst: its phases, and the threads that share them.

use std::sync::{Mutex, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use embedded_db_common::Result;

use crate::candidates::{BLOCK, spilled};
use crate::dynamics::{Given, parts};
use crate::engine::{Engine, check_power};
use crate::plasticity::adapt;
use crate::random::Chance;

/// Work below which another thread takes longer to begin than to help.
const FEW_SYNAPSES: usize = 1 << 16;
const FEW_NEURONS: usize = 1 << 17;

/// What came of a burst.
#[derive(Clone, Debug, PartialEq)]
pub struct Burst {
    /// The number of the burst; the first one is 1.
    pub burst: u64,
    /// Who fired, in order.
    pub fired: Vec<u32>,
    /// What the phases took.
    pub times: PhaseTimes,
}

/// What the phases of a burst took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhaseTimes {
    /// Propagating the fire queue.
    pub injection: Duration,
    /// Leaking, taking in, firing.
    pub dynamics: Duration,
    /// Writing down who fired.
    pub archival: Duration,
    /// Changing weights.
    pub plasticity: Duration,
    /// Making ready for the next burst, and putting synapses in order where that was due.
    pub cleanup: Duration,
}

impl Engine {
    /// Advances by one burst. Each of `power` is given the power amount, once, however often it is named.
    pub fn burst(&mut self, power: &[u32]) -> Result<Burst> {
        self.burst_with(power, self.power_amount)
    }

    /// The same with another power amount, a finite number.
    pub fn burst_with(&mut self, power: &[u32], power_amount: f32) -> Result<Burst> {
        check_power(power_amount)?;
        power.iter().enumerate().try_for_each(|(at, &neuron)| {
            self.known(neuron).map_err(|error| error.of_item(at).of_field("power_neurons"))
        })?;
        let mut times = PhaseTimes::default();
        let mut watch = Instant::now();
        self.tidy()?;
        lap(&mut watch, &mut times.cleanup);

        // In order, each once; the set is needed for who fires only later.
        self.fired.insert_all(power);
        let power = self.fired.take_all();
        self.inject();
        lap(&mut watch, &mut times.injection);

        self.burst += 1;
        let chance = Chance::new(self.seed, self.burst);
        let mut fired = self.ledger.take_list();
        let spilled = spilled(&mut self.candidates);
        let given = Given { power: &power, power_amount, spilled: &spilled, chance };
        self.advance(given, &mut fired);
        lap(&mut watch, &mut times.dynamics);

        let result = fired.clone();
        self.ledger.archive(fired);
        lap(&mut watch, &mut times.archival);

        self.fired.insert_all(&result);
        let (rule, synapses) = (self.plasticity, &mut self.synapses);
        adapt(rule, synapses, &self.ledger, &self.fired, &self.before, &mut self.ages);
        lap(&mut watch, &mut times.plasticity);

        self.before.remove_all(self.ledger.back(1));
        std::mem::swap(&mut self.fired, &mut self.before);
        lap(&mut watch, &mut times.cleanup);
        Ok(Burst { burst: self.burst, fired: result, times })
    }

    /// Propagates the fire queue; each thread takes a part of it.
    fn inject(&mut self) {
        let (synapses, queue) = (&self.synapses, self.ledger.back(0));
        let work: usize = queue.iter().map(|&source| synapses.row(source).len()).sum();
        let threads = self.threads.min(work / FEW_SYNAPSES).max(1);
        let size = queue.len().div_ceil(threads).max(1);
        let mut lanes: Vec<_> = self.candidates.iter_mut().zip(queue.chunks(size)).collect();
        at_once(&mut lanes, |(lane, queue)| lane.propagate(synapses, queue));
        self.candidates[0].propagate_added(synapses, &self.before);
    }

    /// Advances the neurons; each thread takes a part of them.
    fn advance(&mut self, given: Given<'_>, fired: &mut Vec<u32>) {
        let count = self.neurons.len();
        let threads = self.threads.min(count / FEW_NEURONS).max(1);
        let blocks = count.div_ceil(BLOCK).div_ceil(threads).max(1);
        let parts = parts(&mut self.neurons, &mut self.awake, &mut self.candidates, blocks);
        let first = std::mem::take(fired);
        let lists = std::iter::once(first).chain(std::iter::repeat_with(Vec::new));
        let mut parts: Vec<_> = parts.into_iter().zip(lists).collect();
        at_once(&mut parts, |(part, fired)| part.advance(given, fired));
        let mut lists = parts.into_iter().map(|(_, fired)| fired);
        *fired = lists.next().unwrap_or_default();
        lists.for_each(|more| fired.extend(more));
    }
}

fn lap(watch: &mut Instant, phase: &mut Duration) {
    let now = Instant::now();
    *phase += now - std::mem::replace(watch, now);
}

/// Does the same with each item, one of them in this thread. Where the system gives no further thread,
/// this one does it all.
fn at_once<T: Send>(items: &mut [T], work: impl Fn(&mut T) + Sync) {
    let others = items.len().saturating_sub(1);
    let queue = Mutex::new(items.iter_mut());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let run = || {
        while let Some(item) = next() {
            work(item);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..others {
            if Builder::new().spawn_scoped(scope, run).is_err() {
                break;
            }
        }
        run();
    });
}
