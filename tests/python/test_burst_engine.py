"""Promise: the burst engine does what its formulas say, burst by burst and bit by bit.

Random networks of many shapes run beside the same in plain NumPy, with and without plasticity,
while neurons and synapses come, change and go between bursts. `EMBEDDED_DB_THOROUGH=1` runs
10,000 bursts.
"""

import os
import runpy
from pathlib import Path

import numpy as np
import pytest

from embedded_db.neural import BurstEngine, Hebbian, Stdp

Reference = runpy.run_path(str(Path(__file__).with_name("network_reference.py")))["Reference"]

BURSTS = 25
NETWORKS = 400 if os.environ.get("EMBEDDED_DB_THOROUGH") == "1" else 40


class Both:
    """A network in the engine, and the same in NumPy."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.neurons = int(self.random.choice([1, 2, 63, 64, 65, 128, 200, 500]))
        self.power = float(self.random.choice([0.3, 1.0, 1.5, -0.4]))
        slots = int(self.random.integers(0, self.neurons + 1))
        chance = int(self.random.integers(0, 2**63))
        self.engine = BurstEngine(slots, 50_000, fire_ledger_window=8, seed=chance)
        self.reference = Reference(chance)
        self.add_neurons(self.neurons)
        self.add_synapses(int(self.random.integers(0, 12 * self.neurons + 1)))

    def add_neurons(self, count):
        random = self.random
        threshold = random.uniform(0.05, 1.5, count)
        leak = random.choice([0.0, 0.1, 0.5, 1.0], count)
        period = random.choice([0, 0, 1, 2, 5], count)
        excitability = random.choice([1.0, 1.0, 0.7, 0.2, 0.0], count)
        numbers = self.engine.add_neurons(threshold, leak, period, excitability)
        assert numbers.tolist() == [*range(len(self.reference.v), len(self.reference.v) + count)]
        self.reference.add_neurons(threshold, leak, period, excitability)

    def add_synapses(self, count):
        random, known = self.random, len(self.reference.v)
        ends = random.integers(0, known, (2, count))
        strengths = random.integers(0, 256, (2, count))
        columns = [*ends, *strengths, (random.random(count) < 0.25).astype(int)]
        self.engine.add_synapses(*columns)
        self.reference.add_synapses(*columns)

    def change(self):
        """Do one of what may be done between bursts."""
        reference = self.reference
        match self.random.integers(0, 8):
            case 0:
                self.add_neurons(int(self.random.integers(1, 70)))
            case 1:
                self.add_synapses(int(self.random.integers(1, 40)))
            case 2 if len(reference.source):
                some = self.random.integers(0, len(reference.source), 30)
                source, target = reference.source[some], reference.target[some]
                gone = np.logical_or.reduce(list(map(reference.between, source, target)))
                assert self.engine.remove_synapses(source, target) == gone.sum()
                reference.remove(gone)
            case 3 if len(reference.source):
                at = int(self.random.integers(0, len(reference.source)))
                source, target = int(reference.source[at]), int(reference.target[at])
                there = reference.between(source, target)
                assert self.engine.update_weight(source, target, 200) == there.sum()
                reference.weight[there] = 200
            case 4:
                self.engine.rebuild_indexes()
            case 5:
                self.power = float(self.random.uniform(0, 2))
            case 6:
                self.compare_synapses()

    def process(self):
        known = len(self.reference.v)
        power = self.random.integers(0, known, int(self.random.integers(0, known + 1)))
        result = self.engine.process_burst(power, self.power)
        expected = self.reference.process(power, self.power)
        assert result.fired_neurons.tolist() == expected.tolist()
        assert result.neuron_count == len(expected)
        assert result.burst == self.reference.burst == self.engine.burst_count
        assert self.engine.potentials.tobytes() == (self.reference.v + np.float32(0)).tobytes()
        assert self.engine.refractory_countdowns.tolist() == self.reference.countdown.tolist()
        return expected

    def compare_synapses(self):
        engine = self.engine
        assert engine.get_synapse_count() == len(self.reference.source)
        columns = (
            engine.synapse_sources,
            engine.synapse_targets,
            engine.synapse_weights,
            engine.synapse_conductances,
            engine.synapse_types,
        )
        assert np.array_equal(np.stack(columns), self.reference.synapses_in_order())


RULES = [
    None,
    Hebbian(potentiation=7, depression=2),
    Stdp(potentiation=20.0, depression=15.5, time_constant=2.5, window=7),
]


@pytest.mark.parametrize("rule", RULES, ids=["fixed", "hebbian", "stdp"])
@pytest.mark.parametrize("part", range(4))
def test_it_agrees_with_numpy(part, rule):
    fired = changed = 0
    for seed in range(part, NETWORKS, 4):
        both = Both(seed)
        both.engine.plasticity = both.reference.rule = rule
        weights = both.reference.weight.copy()
        for _ in range(BURSTS):
            fired += len(both.process())
            if both.random.random() < 0.4:
                both.change()
        both.compare_synapses()
        shared = min(len(weights), len(both.reference.weight))
        changed += int((weights[:shared] != both.reference.weight[:shared]).sum())
    assert fired > 1000, "there is something to compare"
    assert rule is None or changed > 1000


@pytest.mark.parametrize("rule", RULES, ids=["fixed", "hebbian", "stdp"])
def test_what_was_saved_goes_on_the_same(rule, tmp_path):
    for seed in range(12):
        both = Both(seed)
        both.engine.plasticity = both.reference.rule = rule
        for _ in range(10):
            both.process()
        both.engine.save(tmp_path / "a.burst")
        both.engine = BurstEngine.load(tmp_path / "a.burst", threads=2)
        assert both.engine.plasticity == rule
        for _ in range(10):
            both.process()
            both.change()
        both.compare_synapses()


def test_a_neuron_that_got_much_at_once_is_exact():
    """More than fits 32 bits, and more than a float counts exactly."""
    engine = BurstEngine(2, 100_000)
    engine.add_synapses(np.zeros(100_000, int), 1, weight=255)
    engine.add_neuron()
    engine.add_neuron(threshold=1e9)
    engine.process_burst([0])
    engine.process_burst()
    assert engine.potentials[1] == 100_000


def test_slots_are_there_before_they_are_configured():
    engine = BurstEngine(3, 10)
    engine.add_synapse(0, 2, 255)
    assert engine.add_neuron(threshold=0.5) == 0
    assert engine.add_neurons(threshold=[0.6, 0.7, 0.8]).tolist() == [1, 2, 3]
    assert engine.get_neuron_count() == 4
    assert engine.thresholds.tolist() == np.array([0.5, 0.6, 0.7, 0.8], np.float32).tolist()


def test_areas_and_coordinates_are_kept(tmp_path):
    engine = BurstEngine(2, 0)
    engine.add_neuron(area=7, coordinates=(1.0, -2.5, 3.0))
    engine.set_neuron_mapping({1: 9})
    engine.save(tmp_path / "a")
    engine = BurstEngine.load(tmp_path / "a")
    assert engine.areas.tolist() == [7, 9]
    assert engine.coordinates.tolist() == [[1.0, -2.5, 3.0], [0.0, 0.0, 0.0]]


def test_the_memory_of_neurons_and_synapses_is_bounded():
    engine = BurstEngine(100_000, 1_000_000)
    random = np.random.default_rng(1)
    engine.add_synapses(*random.integers(0, 100_000, (2, 1_000_000)), weight=1)
    engine.rebuild_indexes()
    used = engine.memory_usage()
    assert used["neurons"] <= 40 * 100_000 - 4 * 100_001, "the rows of synapses are 4 more"
    assert used["synapses"] <= 16 * 1_000_000
