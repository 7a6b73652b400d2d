//! The neurons: one array for each of their parameters and states.

use embedded_db_common::{Error, Result};

/// Parameters of neurons, all of one length.
#[derive(Clone, Copy, Debug)]
pub struct NeuronColumns<'a> {
    /// Potential at which a neuron may fire: finite, above 0.
    pub thresholds: &'a [f32],
    /// Share of the potential that is lost in a burst: 0 to 1.
    pub leak_rates: &'a [f32],
    /// Bursts after a firing in which the neuron neither takes anything in nor fires.
    pub refractory_periods: &'a [u16],
    /// Probability of firing in a burst at or above the threshold: 0 to 1.
    pub excitabilities: &'a [f32],
    /// The area that a neuron belongs to: a number of the user's.
    pub areas: &'a [u32],
    /// Where a neuron lies, in units of the user's: finite.
    pub coordinates: &'a [[f32; 3]],
}

impl NeuronColumns<'_> {
    fn check(&self) -> Result<()> {
        let count = self.thresholds.len();
        let others = [
            self.leak_rates.len(),
            self.refractory_periods.len(),
            self.excitabilities.len(),
            self.areas.len(),
            self.coordinates.len(),
        ];
        if others.iter().any(|&other| other != count) {
            let message = format!("arrays of {count} and {others:?} items; give all one length");
            return Err(Error::InvalidInput(message));
        }
        each("threshold", self.thresholds, "a finite number above 0", |it| {
            it.is_finite() && it > 0.0
        })?;
        let share = |it: f32| (0.0..=1.0).contains(&it);
        each("leak_rate", self.leak_rates, "a number from 0 to 1", share)?;
        each("excitability", self.excitabilities, "a number from 0 to 1", share)?;
        each("coordinates", self.coordinates.as_flattened(), "finite numbers", f32::is_finite)
            .map_err(|error| match error {
                Error::At { place, error } => error.of_item(place.item.unwrap_or(0) / 3),
                other => other,
            })
    }
}

/// Refuses the first value that is not as it should be.
fn each(
    name: &'static str,
    values: &[f32],
    wanted: &str,
    is_right: impl Fn(f32) -> bool,
) -> Result<()> {
    let Some(at) = values.iter().position(|&value| !is_right(value)) else { return Ok(()) };
    let message = format!("{name} is {}; it has to be {wanted}", values[at]);
    Err(Error::InvalidInput(message).of_item(at).of_field(name))
}

/// Parameters and states by the neuron's number.
#[derive(Default)]
pub struct Neurons {
    pub(crate) potentials: Vec<f32>,
    pub(crate) thresholds: Vec<f32>,
    pub(crate) leak_rates: Vec<f32>,
    pub(crate) excitabilities: Vec<f32>,
    pub(crate) refractory_periods: Vec<u16>,
    /// Bursts that a neuron still rests.
    pub(crate) countdowns: Vec<u16>,
    /// Empty as long as all are 0.
    pub(crate) areas: Vec<u32>,
    /// Empty as long as all are 0.
    pub(crate) coordinates: Vec<[f32; 3]>,
    /// How many have been given their parameters.
    pub(crate) configured: usize,
}

impl Neurons {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.potentials.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.potentials.is_empty()
    }

    /// More neurons with the parameters that they have from the start; none when there is no memory.
    pub(crate) fn grow(&mut self, count: usize) -> Result<()> {
        let more = count.saturating_sub(self.len());
        reserve(&mut self.potentials, more)?;
        reserve(&mut self.thresholds, more)?;
        reserve(&mut self.leak_rates, more)?;
        reserve(&mut self.excitabilities, more)?;
        reserve(&mut self.refractory_periods, more)?;
        reserve(&mut self.countdowns, more)?;
        if !self.areas.is_empty() {
            reserve(&mut self.areas, more)?;
            self.areas.resize(count, 0);
        }
        if !self.coordinates.is_empty() {
            reserve(&mut self.coordinates, more)?;
            self.coordinates.resize(count, [0.0; 3]);
        }
        self.potentials.resize(count, 0.0);
        self.thresholds.resize(count, 1.0);
        self.leak_rates.resize(count, 0.0);
        self.excitabilities.resize(count, 1.0);
        self.refractory_periods.resize(count, 0);
        self.countdowns.resize(count, 0);
        Ok(())
    }

    /// Gives the next neurons their parameters; there are so many.
    pub(crate) fn configure(&mut self, columns: &NeuronColumns<'_>) -> Result<()> {
        columns.check()?;
        let places = self.configured..self.configured + columns.thresholds.len();
        if !self.areas.is_empty() || columns.areas.iter().any(|&area| area != 0) {
            self.have_areas()?[places.clone()].copy_from_slice(columns.areas);
        }
        let nowhere = |at: &[f32; 3]| *at == [0.0; 3];
        if !self.coordinates.is_empty() || !columns.coordinates.iter().all(nowhere) {
            self.have_coordinates()?[places.clone()].copy_from_slice(columns.coordinates);
        }
        self.thresholds[places.clone()].copy_from_slice(columns.thresholds);
        self.leak_rates[places.clone()].copy_from_slice(columns.leak_rates);
        self.excitabilities[places.clone()].copy_from_slice(columns.excitabilities);
        self.refractory_periods[places.clone()].copy_from_slice(columns.refractory_periods);
        self.configured = places.end;
        Ok(())
    }

    /// The areas, each there.
    pub(crate) fn have_areas(&mut self) -> Result<&mut [u32]> {
        lengthen(&mut self.areas, self.potentials.len(), 0)?;
        Ok(&mut self.areas)
    }

    /// The coordinates, each there.
    pub(crate) fn have_coordinates(&mut self) -> Result<&mut [[f32; 3]]> {
        lengthen(&mut self.coordinates, self.potentials.len(), [0.0; 3])?;
        Ok(&mut self.coordinates)
    }

    /// Refuses parameters as `configure` does.
    pub(crate) fn check(columns: &NeuronColumns<'_>) -> Result<()> {
        columns.check()
    }

    pub(crate) fn bytes(&self) -> usize {
        let floats = [&self.potentials, &self.thresholds, &self.leak_rates, &self.excitabilities];
        floats.iter().map(|it| it.capacity() * 4).sum::<usize>()
            + (self.refractory_periods.capacity() + self.countdowns.capacity()) * 2
            + self.areas.capacity() * 4
            + self.coordinates.capacity() * 12
    }
}

/// Room for so many more, or an error where the system has none.
pub(crate) fn reserve<T>(items: &mut Vec<T>, more: usize) -> Result<()> {
    items.try_reserve(more).map_err(|_| Error::CapacityExceeded {
        what: "bytes of memory",
        used: (items.len() as u64 + more as u64).saturating_mul(size_of::<T>() as u64),
        limit: (items.capacity() * size_of::<T>()) as u64,
        remedy: "make the network smaller",
    })
}

/// Makes a list so long, unless it is longer.
pub(crate) fn lengthen<T: Copy>(items: &mut Vec<T>, length: usize, value: T) -> Result<()> {
    let more = length.saturating_sub(items.len());
    reserve(items, more)?;
    items.extend(std::iter::repeat_n(value, more));
    Ok(())
}
