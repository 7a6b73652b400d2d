//! Networks of the burst engine, and arrays over their memory.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use embedded_db_activation::{
    Engine, NeuronColumn, NeuronColumns, Options, Pin, Plasticity, SynapseColumn, SynapseColumns,
};
use embedded_db_engine::common::{Error, Result};
use numpy::ndarray::{ArrayView1, ArrayView2};
use numpy::{
    Element, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArray,
};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::arguments::{GivenPath, Text};
use crate::errors::{detached, invalid};

/// Arrays that the package has made for the call: nobody else can change them meanwhile.
type Given<'py, T> = PyReadonlyArray1<'py, T>;

/// Potentiation and depression; of STDP also its time constant and window.
type Rule = (f32, f32, Option<(f32, u16)>);

/// A network; one call at a time is in it.
#[pyclass(frozen, module = "embedded_db._native")]
pub(crate) struct Network {
    engine: Mutex<Engine>,
    /// The process that made it.
    process: u32,
}

/// What an array over the memory of a network holds on to.
#[pyclass(frozen, module = "embedded_db._native")]
struct Held {
    _network: Py<Network>,
    _pin: Pin,
}

/// Where an array lies.
struct Memory<T> {
    address: usize,
    length: usize,
    item: std::marker::PhantomData<fn() -> T>,
}

impl<T> Memory<T> {
    fn of(items: &[T]) -> Self {
        let item = std::marker::PhantomData;
        Self { address: items.as_ptr() as usize, length: items.len(), item }
    }
}

/// An array by the type of its items.
enum Column {
    Floats(Memory<f32>),
    Places(Memory<[f32; 3]>),
    Words(Memory<u32>),
    Shorts(Memory<u16>),
    Bytes(Memory<u8>),
}

impl Network {
    fn made(engine: Engine) -> Self {
        Self { engine: Mutex::new(engine), process: std::process::id() }
    }

    /// Runs `work` with the interpreter released, when no other thread is in the network.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut Engine) -> Result<T> + Send,
    ) -> PyResult<T> {
        detached(py, || work(&mut *self.locked()?))
    }

    fn locked(&self) -> Result<MutexGuard<'_, Engine>> {
        if self.process == std::process::id() {
            return Ok(self.engine.lock().unwrap_or_else(PoisonError::into_inner));
        }
        match self.engine.try_lock() {
            Ok(engine) => Ok(engine),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            // The thread that was in it is not in this process: nobody would ever leave.
            Err(TryLockError::WouldBlock) => Err(Error::InvalidInput(
                "the engine was in use when this process was forked; load a saved one here".into(),
            )),
        }
    }
}

#[pymethods]
impl Network {
    #[new]
    fn new(
        py: Python<'_>,
        neurons: usize,
        synapse_capacity: usize,
        ledger_window: usize,
        seed: u64,
        threads: usize,
    ) -> PyResult<Self> {
        let options = Options { neurons, synapse_capacity, ledger_window, seed, threads };
        detached(py, || Engine::new(options)).map(Self::made)
    }

    #[staticmethod]
    fn load(
        py: Python<'_>,
        bytes: &Bound<'_, PyBytes>,
        path: GivenPath,
        threads: usize,
    ) -> PyResult<Self> {
        let (bytes, path) = (bytes.as_bytes(), PathBuf::from(path.0));
        detached(py, || Engine::load(bytes, &path, threads)).map(Self::made)
    }

    fn save<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = self.with(py, Engine::save)?;
        Ok(PyBytes::new(py, &bytes))
    }

    #[allow(clippy::too_many_arguments)]
    fn add_neurons(
        &self,
        py: Python<'_>,
        thresholds: Given<'_, f32>,
        leak_rates: Given<'_, f32>,
        refractory_periods: Given<'_, u16>,
        excitabilities: Given<'_, f32>,
        areas: Given<'_, u32>,
        coordinates: PyReadonlyArray2<'_, f32>,
    ) -> PyResult<usize> {
        let columns = NeuronColumns {
            thresholds: items(py, &thresholds)?,
            leak_rates: items(py, &leak_rates)?,
            refractory_periods: items(py, &refractory_periods)?,
            excitabilities: items(py, &excitabilities)?,
            areas: items(py, &areas)?,
            coordinates: match coordinates.as_slice().map(<[f32]>::as_chunks) {
                Ok((places, [])) => places,
                _ => return Err(invalid(py, "coordinates have three numbers each".into())),
            },
        };
        self.with(py, |engine| engine.add_neurons(&columns))
    }

    fn set_areas(
        &self,
        py: Python<'_>,
        neurons: Given<'_, u32>,
        areas: Given<'_, u32>,
    ) -> PyResult<()> {
        let (neurons, areas) = (items(py, &neurons)?, items(py, &areas)?);
        self.with(py, |engine| engine.set_areas(neurons, areas))
    }

    fn add_synapses(
        &self,
        py: Python<'_>,
        sources: Given<'_, u32>,
        targets: Given<'_, u32>,
        weights: Given<'_, u8>,
        conductances: Given<'_, u8>,
        types: Given<'_, u8>,
    ) -> PyResult<()> {
        let columns = SynapseColumns {
            sources: items(py, &sources)?,
            targets: items(py, &targets)?,
            weights: items(py, &weights)?,
            conductances: items(py, &conductances)?,
            types: items(py, &types)?,
        };
        self.with(py, |engine| engine.add_synapses(&columns))
    }

    fn remove_synapses(
        &self,
        py: Python<'_>,
        sources: Given<'_, u32>,
        targets: Given<'_, u32>,
    ) -> PyResult<usize> {
        let (sources, targets) = (items(py, &sources)?, items(py, &targets)?);
        self.with(py, |engine| engine.remove_synapses(sources, targets))
    }

    fn update_weights(
        &self,
        py: Python<'_>,
        sources: Given<'_, u32>,
        targets: Given<'_, u32>,
        weights: Given<'_, u8>,
    ) -> PyResult<usize> {
        let (sources, targets) = (items(py, &sources)?, items(py, &targets)?);
        let weights = items(py, &weights)?;
        self.with(py, |engine| engine.update_weights(sources, targets, weights))
    }

    fn rebuild_indexes(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, Engine::rebuild_indexes)
    }

    /// The number of the burst, who fired, and the seconds of each phase.
    fn burst<'py>(
        &self,
        py: Python<'py>,
        power: Given<'_, u32>,
        amount: Option<f32>,
    ) -> PyResult<(u64, Bound<'py, PyArray1<u32>>, [f64; 5])> {
        let power = items(py, &power)?;
        let burst = self
            .with(py, |engine| engine.burst_with(power, amount.unwrap_or(engine.power_amount())))?;
        let times = burst.times;
        let phases =
            [times.injection, times.dynamics, times.archival, times.plasticity, times.cleanup];
        let fired = PyArray1::from_vec(py, burst.fired);
        Ok((burst.burst, fired, phases.map(|phase| phase.as_secs_f64())))
    }

    fn fire_history(&self, py: Python<'_>, neuron: u32) -> PyResult<Vec<u64>> {
        self.with(py, |engine| engine.fire_history(neuron))
    }

    /// Neurons; synapses; synapse capacity; ledger window; seed; bursts.
    fn facts(&self, py: Python<'_>) -> PyResult<(usize, usize, usize, usize, u64, u64)> {
        self.with(py, |it| {
            let (neurons, synapses) = (it.neurons().len(), it.synapses().len());
            let (capacity, window) = (it.synapse_capacity(), it.ledger_window());
            Ok((neurons, synapses, capacity, window, it.seed(), it.burst_count()))
        })
    }

    /// Of the neurons, of the synapses, of the ledger.
    fn bytes(&self, py: Python<'_>) -> PyResult<(usize, usize, usize)> {
        self.with(py, |engine| Ok(engine.bytes()))
    }

    fn power_amount(&self, py: Python<'_>) -> PyResult<f32> {
        self.with(py, |engine| Ok(engine.power_amount()))
    }

    fn set_power_amount(&self, py: Python<'_>, amount: f32) -> PyResult<()> {
        self.with(py, |engine| engine.set_power_amount(amount))
    }

    fn threads(&self, py: Python<'_>) -> PyResult<usize> {
        self.with(py, |engine| Ok(engine.threads()))
    }

    fn set_threads(&self, py: Python<'_>, threads: usize) -> PyResult<()> {
        self.with(py, |engine| engine.set_threads(threads))
    }

    fn plasticity(&self, py: Python<'_>) -> PyResult<Option<Rule>> {
        self.with(py, |engine| {
            Ok(match engine.plasticity() {
                Plasticity::None => None,
                Plasticity::Hebbian { potentiation, depression } => {
                    Some((potentiation.into(), depression.into(), None))
                }
                Plasticity::Stdp { potentiation, depression, time_constant, window } => {
                    Some((potentiation, depression, Some((time_constant, window))))
                }
            })
        })
    }

    fn set_no_plasticity(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, |engine| engine.set_plasticity(Plasticity::None))
    }

    fn set_hebbian(&self, py: Python<'_>, potentiation: u8, depression: u8) -> PyResult<()> {
        let rule = Plasticity::Hebbian { potentiation, depression };
        self.with(py, |engine| engine.set_plasticity(rule))
    }

    fn set_stdp(
        &self,
        py: Python<'_>,
        potentiation: f32,
        depression: f32,
        time_constant: f32,
        window: u16,
    ) -> PyResult<()> {
        let rule = Plasticity::Stdp { potentiation, depression, time_constant, window };
        self.with(py, |engine| engine.set_plasticity(rule))
    }

    /// A read-only array over the memory of the neurons.
    fn neuron_array<'py>(
        slf: &Bound<'py, Self>,
        name: Text<'_>,
    ) -> PyResult<Bound<'py, PyUntypedArray>> {
        let (column, pin) = slf.get().with(slf.py(), |engine| {
            let column = match engine.neuron_column(&name)? {
                NeuronColumn::Floats(items) => Column::Floats(Memory::of(items)),
                NeuronColumn::Periods(items) => Column::Shorts(Memory::of(items)),
                NeuronColumn::Areas(items) => Column::Words(Memory::of(items)),
                NeuronColumn::Coordinates(items) => Column::Places(Memory::of(items)),
            };
            Ok((column, engine.pin_neurons()))
        })?;
        array(slf, column, pin)
    }

    /// A read-only array over the memory of the synapses.
    fn synapse_array<'py>(
        slf: &Bound<'py, Self>,
        name: Text<'_>,
    ) -> PyResult<Bound<'py, PyUntypedArray>> {
        let (column, pin) = slf.get().with(slf.py(), |engine| {
            let pin = engine.pin_synapses()?;
            let column = match engine.synapse_column(&name)? {
                SynapseColumn::Neurons(items) => Column::Words(Memory::of(items)),
                SynapseColumn::Bytes(items) => Column::Bytes(Memory::of(items)),
            };
            Ok((column, pin))
        })?;
        array(slf, column, pin)
    }
}

fn items<'a, T: Element>(py: Python<'_>, array: &'a Given<'_, T>) -> PyResult<&'a [T]> {
    array.as_slice().map_err(|_| invalid(py, "an array of the call has gaps".into()))
}

/// An array whose base keeps the memory: the network, and the pin for which nothing in it moves.
fn array<'py>(
    network: &Bound<'py, Network>,
    column: Column,
    pin: Pin,
) -> PyResult<Bound<'py, PyUntypedArray>> {
    let held = Held { _network: network.clone().unbind(), _pin: pin };
    let base = Bound::new(network.py(), held)?.into_any();
    Ok(match column {
        Column::Floats(memory) => over(&memory, base),
        Column::Words(memory) => over(&memory, base),
        Column::Shorts(memory) => over(&memory, base),
        Column::Bytes(memory) => over(&memory, base),
        Column::Places(memory) => {
            // SAFETY: as in `over`.
            #[allow(unsafe_code)]
            let numbers = unsafe {
                std::slice::from_raw_parts(memory.address as *const f32, memory.length * 3)
            };
            let view = ArrayView2::from_shape((memory.length, 3), numbers);
            let view = view.expect("three numbers each");
            // SAFETY: as in `over`.
            #[allow(unsafe_code)]
            let array = unsafe { PyArray2::borrow_from_array(&view, base) };
            array.readwrite().make_nonwriteable();
            array.as_untyped().clone()
        }
    })
}

fn over<'py, T: Element>(
    memory: &Memory<T>,
    base: Bound<'py, PyAny>,
) -> Bound<'py, PyUntypedArray> {
    // SAFETY: the items were there when the pin was taken, and neither move nor go while `base` holds
    // the network and the pin. The array, which has `base`, is read by NumPy only; a burst in another
    // thread may change an item meanwhile, each of which is read and written whole.
    #[allow(unsafe_code)]
    let items = unsafe { std::slice::from_raw_parts(memory.address as *const T, memory.length) };
    // SAFETY: the same.
    #[allow(unsafe_code)]
    let array = unsafe { PyArray1::borrow_from_array(&ArrayView1::from(items), base) };
    array.readwrite().make_nonwriteable();
    array.as_untyped().clone()
}
