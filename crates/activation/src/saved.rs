//! A network as bytes, with its states: what is loaded goes on as what was saved would have.
//!
//! What is loaded is saved as the same bytes. Little-endian: the mark, the version (u32), the fields below, the CRC-32C (u32) of all before it. Arrays
//! have the length that a count before them tells.
//!
//! - neurons, configured neurons, synapses, synapse capacity, ledger window, seed, bursts (u64 each)
//! - power amount (f32); plasticity: kind (u8), two amounts and the time constant (f32), window (u16)
//! - flags (u8): 1, areas follow; 2, coordinates follow
//! - of the neurons: potentials, thresholds, leak rates, excitabilities (f32), refractory periods and
//!   countdowns (u16), areas (u32), coordinates (three f32)
//! - of the synapses, in order: sources, targets (u32), weights, conductances, types (u8)
//! - lists of the ledger, the oldest first: their number (u64), and for each its length (u64) and who
//!   fired (u32)

use std::path::Path;

use embedded_db_common::record::{Cursor, Damaged};
use embedded_db_common::{Error, Result};

use crate::engine::{Engine, MAX_NEURONS, MAX_SYNAPSES, Options, check_power};
use crate::neurons::NeuronColumns;
use crate::plasticity::Plasticity;
use crate::synapses::SynapseColumns;

const MARK: &[u8; 8] = b"edbburst";
/// Version of the bytes that are written, and the latest that is read.
pub const VERSION: u32 = 1;
/// More than any engine will get to.
const MOST_BURSTS: u64 = 1 << 62;
const AREAS: u8 = 1;
const COORDINATES: u8 = 2;

impl Engine {
    /// The network as bytes. Its synapses are put in order.
    pub fn save(&mut self) -> Result<Vec<u8>> {
        self.rebuild_indexes()?;
        let (neurons, synapses) = (&self.neurons, &self.synapses);
        let mut out = Writer(MARK.to_vec());
        out.0.extend(VERSION.to_le_bytes());
        for count in [
            neurons.len(),
            neurons.configured,
            synapses.len(),
            self.synapse_capacity,
            self.ledger.window(),
        ] {
            out.count(count);
        }
        out.0.extend(self.seed.to_le_bytes());
        out.0.extend(self.burst.to_le_bytes());
        out.all(&[self.power_amount], f32::to_le_bytes);
        let (kind, amounts, window) = as_written(self.plasticity);
        out.0.push(kind);
        out.all(&amounts, f32::to_le_bytes);
        out.all(&[window], u16::to_le_bytes);
        let areas = if neurons.areas.is_empty() { 0 } else { AREAS };
        let coordinates = if neurons.coordinates.is_empty() { 0 } else { COORDINATES };
        out.0.push(areas | coordinates);
        out.all(&neurons.potentials, f32::to_le_bytes);
        out.all(&neurons.thresholds, f32::to_le_bytes);
        out.all(&neurons.leak_rates, f32::to_le_bytes);
        out.all(&neurons.excitabilities, f32::to_le_bytes);
        out.all(&neurons.refractory_periods, u16::to_le_bytes);
        out.all(&neurons.countdowns, u16::to_le_bytes);
        out.all(&neurons.areas, u32::to_le_bytes);
        out.all(neurons.coordinates.as_flattened(), f32::to_le_bytes);
        out.all(&synapses.sources, u32::to_le_bytes);
        out.all(&synapses.targets, u32::to_le_bytes);
        out.0.extend_from_slice(&synapses.weights);
        out.0.extend_from_slice(&synapses.conductances);
        out.0.extend_from_slice(&synapses.kinds);
        out.count(self.ledger.lists().len());
        for list in self.ledger.lists() {
            out.count(list.len());
            out.all(list, u32::to_le_bytes);
        }
        let sum = crc32c::crc32c(&out.0);
        out.0.extend(sum.to_le_bytes());
        Ok(out.0)
    }

    /// The network that was saved as `bytes`, for so many threads; errors name `path`.
    pub fn load(bytes: &[u8], path: &Path, threads: usize) -> Result<Self> {
        let damaged =
            |detail: &str| Error::DamagedFile { path: path.into(), detail: detail.into() };
        let too_short = || damaged("it ends too early");
        let rest = bytes.strip_prefix(MARK).ok_or_else(|| damaged("it is no saved engine"))?;
        let (version, _) = rest.split_first_chunk().ok_or_else(too_short)?;
        let version = u32::from_le_bytes(*version);
        if version > VERSION {
            return Err(Error::FormatTooNew {
                path: path.into(),
                found: version,
                supported: VERSION,
            });
        }
        let (content, sum) = bytes.split_last_chunk().ok_or_else(too_short)?;
        if crc32c::crc32c(content) != u32::from_le_bytes(*sum) || version != VERSION {
            return Err(damaged("its checksum does not agree"));
        }
        let content = content.get(MARK.len() + 4..).ok_or_else(too_short)?;
        let mut engine = read(&mut Reader(Cursor::new(content))).map_err(|error| match error {
            Unread::TooShort => too_short(),
            Unread::Nonsense(detail) => damaged(&detail),
            Unread::Refused(error @ Error::CapacityExceeded { .. }) => error,
            Unread::Refused(error) => damaged(&error.to_string()),
        })?;
        engine.set_threads(threads)?;
        Ok(engine)
    }
}

/// Bytes with a head and a checksum that are right.
#[cfg(any(test, fuzzing))]
pub(crate) fn mended(bytes: &[u8]) -> Vec<u8> {
    let content = bytes.get(MARK.len() + 4..).unwrap_or_default();
    let content = content.split_last_chunk::<4>().map_or(content, |(content, _)| content);
    let mut out = MARK.to_vec();
    out.extend(VERSION.to_le_bytes());
    out.extend(content);
    let sum = crc32c::crc32c(&out);
    out.extend(sum.to_le_bytes());
    out
}

/// Why bytes are no network.
enum Unread {
    TooShort,
    Nonsense(String),
    Refused(Error),
}

impl From<Damaged> for Unread {
    fn from(_: Damaged) -> Self {
        Self::TooShort
    }
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

fn read(from: &mut Reader<'_>) -> Result<Engine, Unread> {
    let count = from.count(MAX_NEURONS)?;
    let configured = from.count(count)?;
    let synapses = from.count(MAX_SYNAPSES)?;
    let synapse_capacity = from.count(MAX_SYNAPSES)?;
    let options = Options {
        neurons: 0,
        synapse_capacity,
        ledger_window: from.count(usize::MAX)?,
        seed: from.one(u64::from_le_bytes)?,
        threads: 1,
    };
    let bursts = from.one(u64::from_le_bytes)?;
    if bursts > MOST_BURSTS || synapses > synapse_capacity {
        return Err(Unread::Nonsense("it has more bursts or synapses than there can be".into()));
    }
    let power_amount = from.one(f32::from_le_bytes)?;
    check_power(power_amount)?;
    let plasticity = rule(from)?;
    let flags = from.one(u8::from_le_bytes)?;
    let known = if count > 0 { AREAS | COORDINATES } else { 0 };
    if flags & !known != 0 {
        return Err(Unread::Nonsense(format!("its flags are {flags}")));
    }

    let mut engine = Engine::new(options)?;
    engine.set_plasticity(plasticity)?;
    (engine.burst, engine.power_amount) = (bursts, power_amount);

    let potentials = from.all(count, f32::from_le_bytes)?;
    if !potentials.iter().copied().all(f32::is_finite) {
        return Err(Unread::Nonsense("a potential is no number".into()));
    }
    let (thresholds, leak_rates) =
        (from.all(count, f32::from_le_bytes)?, from.all(count, f32::from_le_bytes)?);
    let excitabilities = from.all(count, f32::from_le_bytes)?;
    let (refractory_periods, countdowns) =
        (from.all(count, u16::from_le_bytes)?, from.all(count, u16::from_le_bytes)?);
    let areas = match flags & AREAS {
        0 => vec![0; count],
        _ => from.all(count, u32::from_le_bytes)?,
    };
    let coordinates = match flags & COORDINATES {
        0 => vec![[0.0; 3]; count],
        _ => from.all(count, |it: [u8; 12]| {
            let (of, _) = it.as_chunks::<4>();
            std::array::from_fn(|axis| f32::from_le_bytes(of[axis]))
        })?,
    };
    engine.add_neurons(&NeuronColumns {
        thresholds: &thresholds,
        leak_rates: &leak_rates,
        refractory_periods: &refractory_periods,
        excitabilities: &excitabilities,
        areas: &areas,
        coordinates: &coordinates,
    })?;
    if flags & AREAS != 0 {
        engine.neurons.have_areas()?;
    }
    if flags & COORDINATES != 0 {
        engine.neurons.have_coordinates()?;
    }
    engine.neurons.configured = configured;
    engine.neurons.potentials.copy_from_slice(&potentials);
    engine.neurons.countdowns.copy_from_slice(&countdowns);
    engine.awake.fill(1);

    let (sources, targets) =
        (from.all(synapses, u32::from_le_bytes)?, from.all(synapses, u32::from_le_bytes)?);
    let (weights, conductances) = (from.bytes(synapses)?, from.bytes(synapses)?);
    let types = from.bytes(synapses)?;
    if !sources.iter().zip(&targets).is_sorted() {
        return Err(Unread::Nonsense("its synapses are not in order".into()));
    }
    engine.add_synapses(&SynapseColumns {
        sources: &sources,
        targets: &targets,
        weights,
        conductances,
        types,
    })?;
    engine.rebuild_indexes()?;

    let lists = from.count(engine.ledger_window())?;
    if lists as u64 > bursts {
        return Err(Unread::Nonsense("its ledger is older than its first burst".into()));
    }
    for _ in 0..lists {
        let length = from.count(count)?;
        let list = from.all(length, u32::from_le_bytes)?;
        let is_in_order = list.is_sorted_by(|one, next| one < next);
        if !is_in_order || list.last().is_some_and(|&last| last as usize >= count) {
            return Err(Unread::Nonsense("its ledger names neurons that there are not".into()));
        }
        engine.ledger.archive(list);
    }
    engine.before.insert_all(engine.ledger.back(0));
    if from.0.rest().is_empty() {
        Ok(engine)
    } else {
        Err(Unread::Nonsense("it is too long".into()))
    }
}

fn rule(from: &mut Reader<'_>) -> Result<Plasticity, Unread> {
    let kind = from.one(u8::from_le_bytes)?;
    let (potentiation, depression) = (from.one(f32::from_le_bytes)?, from.one(f32::from_le_bytes)?);
    let time_constant = from.one(f32::from_le_bytes)?;
    let window = from.one(u16::from_le_bytes)?;
    let rule = match kind {
        0 => Plasticity::None,
        1 => Plasticity::Hebbian { potentiation: potentiation as u8, depression: depression as u8 },
        _ => Plasticity::Stdp { potentiation, depression, time_constant, window },
    };
    let read = [potentiation, depression, time_constant];
    let (its_kind, numbers, its_window) = as_written(rule);
    let is_same = numbers.map(f32::to_bits) == read.map(f32::to_bits);
    if is_same && (its_kind, its_window) == (kind, window) {
        Ok(rule)
    } else {
        Err(Unread::Nonsense("its plasticity is none that there is".into()))
    }
}

/// The kind of a rule, its amounts and time constant, and its window.
fn as_written(rule: Plasticity) -> (u8, [f32; 3], u16) {
    match rule {
        Plasticity::None => (0, [0.0; 3], 0),
        Plasticity::Hebbian { potentiation, depression } => {
            (1, [f32::from(potentiation), f32::from(depression), 0.0], 0)
        }
        Plasticity::Stdp { potentiation, depression, time_constant, window } => {
            (2, [potentiation, depression, time_constant], window)
        }
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn count(&mut self, count: usize) {
        self.0.extend((count as u64).to_le_bytes());
    }

    fn all<T: Copy, const N: usize>(&mut self, items: &[T], bytes: fn(T) -> [u8; N]) {
        self.0.extend(items.iter().flat_map(|&item| bytes(item)));
    }
}

struct Reader<'a>(Cursor<'a>);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Unread> {
        Ok(self.0.take(count)?)
    }

    fn one<T, const N: usize>(&mut self, item: fn([u8; N]) -> T) -> Result<T, Unread> {
        Ok(item(self.0.array()?))
    }

    /// No more is allocated than bytes are there for.
    fn all<T, const N: usize>(
        &mut self,
        count: usize,
        item: impl Fn([u8; N]) -> T,
    ) -> Result<Vec<T>, Unread> {
        let bytes = self.bytes(count.checked_mul(N).ok_or(Unread::TooShort)?)?;
        let (items, _) = bytes.as_chunks::<N>();
        Ok(items.iter().map(|bytes| item(*bytes)).collect())
    }

    fn count(&mut self, most: usize) -> Result<usize, Unread> {
        let count = self.one(u64::from_le_bytes)?;
        let refused = || Unread::Nonsense(format!("a count of {count}, where {most} is the most"));
        usize::try_from(count).ok().filter(|&count| count <= most).ok_or_else(refused)
    }
}
