"""Promise: the arrays of a burst engine are its own memory, which never moves away under them."""

import gc
import sys
import threading

import numpy as np
import pytest

from embedded_db import InvalidInput
from embedded_db.neural import BurstEngine

NEURONS = {
    "potentials": np.float32,
    "thresholds": np.float32,
    "leak_rates": np.float32,
    "excitabilities": np.float32,
    "refractory_periods": np.uint16,
    "refractory_countdowns": np.uint16,
    "areas": np.uint32,
    "coordinates": np.float32,
}
SYNAPSES = {
    "synapse_sources": np.uint32,
    "synapse_targets": np.uint32,
    "synapse_weights": np.uint8,
    "synapse_conductances": np.uint8,
    "synapse_types": np.uint8,
}


@pytest.fixture
def engine():
    engine = BurstEngine(100, 1000, seed=1)
    random = np.random.default_rng(1)
    engine.add_synapses(*random.integers(0, 100, (2, 500)), weight=random.integers(0, 256, 500))
    return engine


@pytest.mark.parametrize(("name", "kind"), [*NEURONS.items(), *SYNAPSES.items()])
def test_they_are_views_and_read_only(engine, name, kind):
    array, again = getattr(engine, name), getattr(engine, name)
    assert array.dtype == kind
    assert len(array) == (100 if name in NEURONS else 500)
    assert np.shares_memory(array, again)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        array.flags.writeable = True


def test_they_show_what_changes(engine):
    potentials, weights = engine.potentials, engine.synapse_weights
    source, target = int(engine.synapse_sources[7]), int(engine.synapse_targets[7])
    engine.update_weight(source, target, 123)
    assert weights[7] == 123
    engine.process_burst([3], power_amount=0.25)
    assert potentials[3] == 0.25


@pytest.mark.parametrize("name", NEURONS)
def test_the_engine_does_not_grow_under_an_array(engine, name):
    array = getattr(engine, name)
    part = array[5:10]
    del array
    kept = part.copy()
    engine.add_neurons(np.full(100, 1.0))  # the slots that are there
    with pytest.raises(InvalidInput, match="arrays of its neurons are in use"):
        engine.add_neuron()
    assert engine.get_neuron_count() == 100
    assert np.array_equal(part, kept)
    engine.add_synapse(0, 1, 5)
    engine.process_burst([0])
    del part
    assert engine.add_neuron() == 100
    assert len(getattr(engine, name)) == 101


@pytest.mark.parametrize("name", SYNAPSES)
def test_synapses_neither_come_nor_go_under_an_array(engine, name):
    array = getattr(engine, name)
    source, target = int(engine.synapse_sources[0]), int(engine.synapse_targets[0])
    with pytest.raises(InvalidInput, match="arrays of them are in use"):
        engine.add_synapse(0, 1, 5)
    with pytest.raises(InvalidInput, match="arrays of them are in use"):
        engine.remove_synapse(source, target)
    kept = array.copy()
    engine.add_neurons(np.full(200, 1.0))
    engine.process_burst(range(100))
    engine.rebuild_indexes()
    assert np.array_equal(array, kept)
    assert len(getattr(engine, name)) == 500, "another array of the same"
    del array
    removed = engine.remove_synapse(source, target)
    assert len(getattr(engine, name)) == 500 - removed


def test_they_outlive_the_engine(engine):
    weights, potentials = engine.synapse_weights, engine.potentials
    engine.process_burst([1], 0.5)
    kept = weights.copy(), potentials.copy()
    del engine
    gc.collect()
    # What would be given back is taken by others.
    others = [np.full(500, 7, np.uint8) for _ in range(1000)]
    assert np.array_equal(weights, kept[0])
    assert np.array_equal(potentials, kept[1])
    assert len(others) == 1000


def test_what_is_given_is_copied():
    engine = BurstEngine(3, 10)
    weights = np.array([1, 2], np.uint8)
    engine.add_synapses([0, 1], [1, 2], weights)
    weights[:] = 99
    assert engine.synapse_weights.tolist() == [1, 2]
    result = engine.process_burst([0])
    engine.process_burst([1])
    assert result.fired_neurons.tolist() == [0]


def test_others_run_python_during_a_burst():
    """With turns that the interpreter never ends by itself, only a burst lets others run."""
    engine = BurstEngine(300_000, 0)
    everyone = np.arange(300_000)
    bursts, began, seen = 300, threading.Event(), []

    def work():
        began.set()
        for _ in range(bursts):
            engine.process_burst(everyone[:1], 0.5)
            engine.process_burst(everyone, 0.001)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        worker = threading.Thread(target=work)
        worker.start()
        began.wait()
        seen.append(engine.burst_count)
        worker.join()
    finally:
        sys.setswitchinterval(before)
    assert seen[0] < 2 * bursts
    assert engine.burst_count == 2 * bursts


def test_threads_share_an_engine():
    engine = BurstEngine(1000, 0, fire_ledger_window=500)
    engine.add_neurons(np.full(1000, 0.5))

    def work(neuron):
        for _ in range(100):
            engine.process_burst([neuron])

    threads = [threading.Thread(target=work, args=(neuron,)) for neuron in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bursts = [burst for neuron in range(4) for burst in engine.get_fire_history(neuron)]
    assert sorted(bursts) == list(range(1, 401))
