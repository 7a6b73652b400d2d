//! Weights that follow who fires with whom.

use embedded_db_common::{Error, Result};

use crate::candidates::Bits;
use crate::ledger::Ledger;
use crate::neurons::lengthen;
use crate::synapses::{EXCITATORY, Synapses};

/// How the weights of excitatory synapses change with each burst. They stay within 0 and 255;
/// inhibitory synapses keep theirs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Plasticity {
    /// They do not.
    #[default]
    None,
    /// For each synapse whose source fired in the burst before: `w ← w + potentiation` if its target
    /// fires in this one, else `w ← w − depression`.
    Hebbian {
        /// In units of weight.
        potentiation: u8,
        /// In units of weight.
        depression: u8,
    },
    /// Spike timing. `Δ` is how many bursts ago a neuron fired last before this burst. For each synapse
    /// whose target fires in this burst: `w ← w + ⌊potentiation · exp(−(Δ − 1) / time_constant) + ½⌋` with
    /// the `Δ` of its source; whose source fires in this burst: `w ← w − ⌊depression · exp(…) + ½⌋` with
    /// the `Δ` of its target. Both count where both fire. Nothing for a `Δ` above `window`.
    Stdp {
        /// At `Δ` = 1, in units of weight: 0 to 255.
        potentiation: f32,
        /// At `Δ` = 1, in units of weight: 0 to 255.
        depression: f32,
        /// In bursts: finite, above 0.
        time_constant: f32,
        /// The largest `Δ`, in bursts: 1 up to one less than the ledger's window.
        window: u16,
    },
}

impl Plasticity {
    pub(crate) fn check(self, ledger_window: usize) -> Result<()> {
        let Self::Stdp { potentiation, depression, time_constant, window } = self else {
            return Ok(());
        };
        for (name, value) in [("potentiation", potentiation), ("depression", depression)] {
            if !(0.0..=255.0).contains(&value) {
                let message = format!("{name} is {value}; it has to be a number from 0 to 255");
                return Err(Error::InvalidInput(message).of_field(name));
            }
        }
        if !(time_constant.is_finite() && time_constant > 0.0) {
            let message =
                format!("time_constant is {time_constant}; it has to be a finite number above 0");
            return Err(Error::InvalidInput(message).of_field("time_constant"));
        }
        if window == 0 || usize::from(window) >= ledger_window {
            let message = format!(
                "window is {window}; it has to be at least 1 and less than the {ledger_window} bursts of \
                 fire_ledger_window"
            );
            return Err(Error::InvalidInput(message).of_field("window"));
        }
        Ok(())
    }
}

/// What STDP keeps from burst to burst, so that it need not be allocated.
#[derive(Default)]
pub(crate) struct Ages(Vec<u16>);

impl Ages {
    pub(crate) fn bytes(&self) -> usize {
        self.0.capacity() * 2
    }

    pub(crate) fn grow(&mut self, neurons: usize) -> Result<()> {
        lengthen(&mut self.0, neurons, 0)
    }

    /// How many bursts ago each neuron fired last before the newest burst of the ledger; 0 for longer ago.
    fn set(&mut self, ledger: &Ledger, window: u16) {
        self.0.fill(0);
        for back in (1..=window).rev() {
            for &neuron in ledger.back(usize::from(back)) {
                self.0[neuron as usize] = back;
            }
        }
    }
}

/// Changes the weights for the newest burst of the ledger. `fired` has who fired in it, `before` who
/// fired in the one before.
pub(crate) fn adapt(
    rule: Plasticity,
    synapses: &mut Synapses,
    ledger: &Ledger,
    fired: &Bits,
    before: &Bits,
    ages: &mut Ages,
) {
    match rule {
        Plasticity::None => {}
        Plasticity::Hebbian { potentiation, depression } => {
            let (more, less) = (i32::from(potentiation), -i32::from(depression));
            let change = |_, target| if fired.has(target) { more } else { less };
            for &source in ledger.back(1) {
                synapses.adapt_row(source, &change);
            }
            synapses.adapt_added(|source, target| match before.has(source) {
                true => change(source, target),
                false => 0,
            });
        }
        Plasticity::Stdp { potentiation, depression, time_constant, window } => {
            ages.set(ledger, window);
            let (more, less) = (
                by_age(potentiation, time_constant, window),
                by_age(depression, time_constant, window),
            );
            let age = |neuron: u32| usize::from(ages.0[neuron as usize]);
            let change = |source, target| {
                let more = if fired.has(target) { more[age(source)] } else { 0 };
                let less = if fired.has(source) { less[age(target)] } else { 0 };
                more - less
            };
            for source in 0..ages.0.len() as u32 {
                if age(source) > 0 || fired.has(source) {
                    synapses.adapt_row(source, &change);
                }
            }
            synapses.adapt_added(change);
        }
    }
}

/// The change for each age; that of 0 is none.
fn by_age(most: f32, time_constant: f32, window: u16) -> Vec<i32> {
    let change = |age: u16| {
        let share = (-f64::from(age - 1) / f64::from(time_constant)).exp();
        (f64::from(most) * share + 0.5).floor() as i32
    };
    std::iter::once(0).chain((1..=window).map(change)).collect()
}

impl Synapses {
    fn adapt_row(&mut self, source: u32, change: &impl Fn(u32, u32) -> i32) {
        let row = self.row(source);
        let weights = self.weights[row.clone()].iter_mut();
        for ((weight, &target), &kind) in
            weights.zip(&self.targets[row.clone()]).zip(&self.kinds[row])
        {
            adapt_one(weight, kind, change(source, target));
        }
    }

    fn adapt_added(&mut self, change: impl Fn(u32, u32) -> i32) {
        for at in self.added() {
            let change = change(self.sources[at], self.targets[at]);
            adapt_one(&mut self.weights[at], self.kinds[at], change);
        }
    }
}

#[inline]
fn adapt_one(weight: &mut u8, kind: u8, change: i32) {
    if kind == EXCITATORY {
        *weight = (i32::from(*weight) + change).clamp(0, 255) as u8;
    }
}
