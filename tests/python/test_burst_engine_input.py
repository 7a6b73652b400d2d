"""Promise: what a burst engine refuses is a typed error, and has changed nothing."""

import contextlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from embedded_db import (
    Corruption,
    DbError,
    FormatTooNew,
    InvalidInput,
    NotFound,
    QuotaExceeded,
    StorageError,
)
from embedded_db.neural import BurstEngine, Hebbian, Stdp


@pytest.fixture
def engine():
    engine = BurstEngine(10, 20, seed=3)
    engine.add_neurons(threshold=np.linspace(0.1, 1, 5), leak_rate=0.1)
    engine.add_synapses(np.arange(9), np.arange(1, 10), weight=200)
    for power in range(5):
        engine.process_burst([power])
    return engine


def state(engine):
    """Give all that a network is."""
    return engine._network.save()


@contextlib.contextmanager
def refused(engine, kind):
    before = state(engine)
    with pytest.raises(kind) as caught:
        yield caught
    assert caught.value.hint
    assert state(engine) == before


@pytest.mark.parametrize("unknown", [10, 2**31, 2**40, -1, 2**80])
def test_unknown_neurons(engine, unknown):
    kind = InvalidInput if unknown == 2**80 else NotFound
    calls = [
        lambda: engine.process_burst([1, unknown]),
        lambda: engine.add_synapse(unknown, 0, 1),
        lambda: engine.add_synapse(0, unknown, 1),
        lambda: engine.add_synapses([0, unknown], [1, 1], 5),
        lambda: engine.remove_synapse(unknown, 0),
        lambda: engine.update_weight(0, unknown, 5),
        lambda: engine.get_fire_history(unknown),
        lambda: engine.set_neuron_mapping({0: 1, unknown: 1}),
    ]
    for call in calls:
        with refused(engine, kind):
            call()


def test_the_item_that_is_wrong_is_named(engine):
    with refused(engine, NotFound) as caught:
        engine.add_synapses([0, 1, 99], [1, 1, 1], 5)
    assert (caught.value.item, caught.value.field, caught.value.id) == (2, "source", "99")
    with refused(engine, InvalidInput) as caught:
        engine.add_neurons(threshold=[1.0, 2.0, math.nan])
    assert (caught.value.item, caught.value.field) == (2, "threshold")
    with refused(engine, InvalidInput) as caught:
        engine.add_synapses([0, 1], [1, 1], [5, 256])
    assert (caught.value.item, caught.value.field) == (1, "weight")


@pytest.mark.parametrize(
    "weight",
    [math.nan, 1.0, -1, 256, None, "5", True, [1, 2, 3], np.array([1.5]), np.array(["a"]), [[1]],
     object(), {"a": 1}, np.datetime64("2026-01-01"), 1j, 10**400],
)  # fmt: skip
def test_weights_that_are_none(engine, weight):
    with refused(engine, InvalidInput):
        engine.add_synapses([0, 1], [1, 2], weight)
    with refused(engine, InvalidInput):
        engine.add_synapse(0, 1, weight)
    with refused(engine, InvalidInput):
        engine.update_weight(0, 1, weight)


@pytest.mark.parametrize(
    "parameters",
    [{"threshold": it} for it in (0, -1, math.nan, math.inf, 1e300, "1", None, True, [1, [2]])]
    + [{"leak_rate": it} for it in (-0.1, 1.1, math.nan, "x")]
    + [{"excitability": it} for it in (-0.1, 1.1, math.nan, b"x")]
    + [{"refractory_period": it} for it in (-1, 65536, 1.5, math.nan)]
    + [{"area": it} for it in (-1, 2**32, 0.5)]
    + [{"coordinates": it} for it in ((1, 2), (1, 2, math.nan), "abc", 5, [[1, 2, 3, 4]])],
)
def test_parameters_out_of_range(engine, parameters):
    with refused(engine, InvalidInput):
        engine.add_neuron(**parameters)
    with refused(engine, InvalidInput):
        engine.add_neurons(**{"threshold": [1.0, 2.0], **parameters})


def test_arrays_of_several_lengths(engine):
    with refused(engine, InvalidInput):
        engine.add_synapses([0, 1, 2], [1, 2], 5)
    with refused(engine, InvalidInput):
        engine.add_neurons(threshold=[1.0, 2.0], leak_rate=[0.1, 0.1, 0.1])
    with refused(engine, InvalidInput):
        engine.remove_synapses([0, 1, 2], [1, 2])


def test_more_than_the_capacity(engine):
    with refused(engine, QuotaExceeded) as caught:
        engine.add_synapses(np.zeros(12, int), 1, 5)
    assert (caught.value.used, caught.value.limit) == (21, 20)
    engine.add_synapses(np.zeros(11, int), 1, 5)


def test_synapses_that_there_are_not(engine):
    with refused(engine, NotFound):
        engine.remove_synapse(5, 1)
    with refused(engine, NotFound) as caught:
        engine.update_weights([0, 5], [1, 1], 5)
    assert caught.value.item == 1


@pytest.mark.parametrize("count", [-1, 2**40, 2**64, 10**30, 1.5, math.nan, None, "5", True])
def test_counts_that_are_none(count):
    for arguments in ((count, 1), (1, count), (1, 1, count)):
        with pytest.raises(InvalidInput):
            BurstEngine(*arguments)
    for name in ("threads", "seed"):
        if not (name == "seed" and count == 2**40):
            with pytest.raises(InvalidInput):
                BurstEngine(1, 1, **{name: count})


def test_empty_networks_and_batches():
    engine = BurstEngine(0, 0)
    assert engine.process_burst().neuron_count == 0
    assert engine.add_neurons(threshold=[]).tolist() == []
    engine.add_synapses([], [], [])
    assert engine.potentials.shape == (0,)
    assert engine.coordinates.shape == (0, 3)
    assert engine.synapse_weights.shape == (0,)
    with pytest.raises(NotFound):
        engine.process_burst([0])


@pytest.mark.parametrize("amount", [math.nan, math.inf, 1e300, "1", None, True, [1], 10**400])
def test_power_that_is_none(engine, amount):
    with refused(engine, InvalidInput):
        engine.power_amount = amount
    if amount is not None:
        with refused(engine, InvalidInput):
            engine.process_burst([0], amount)


def test_rules_that_are_none(engine):
    for rule in (
        Stdp(window=20),
        Stdp(window=0),
        Stdp(time_constant=0),
        Stdp(time_constant=math.nan),
        Stdp(potentiation=-1),
        Stdp(depression=1e300),
        "hebbian",
    ):
        with refused(engine, InvalidInput):
            engine.plasticity = rule
    for wrong in ({"potentiation": 256}, {"depression": -1}, {"potentiation": 0.5}):
        with pytest.raises(InvalidInput):
            Hebbian(**wrong)
    for wrong in ({"window": 1.5}, {"window": 2**16}, {"potentiation": "1"}):
        with pytest.raises(InvalidInput):
            Stdp(**wrong)


def test_power_neurons_that_are_none(engine):
    for power in ("0", [0.0], math.nan, None, [[0]], {0}, np.array([True])):
        with refused(engine, InvalidInput):
            engine.process_burst(power)


def test_potentials_stay_numbers():
    engine = BurstEngine(1, 0)
    engine.add_neuron(threshold=3e38, excitability=0.0)
    for amount in (3e38, 3e38, -3e38, -3e38, -3e38, -3e38):
        engine.process_burst([0], amount)
        assert np.isfinite(engine.potentials[0])


def test_files_that_are_none(engine, tmp_path):
    whole = tmp_path / "whole"
    engine.save(whole)
    content = whole.read_bytes()
    damaged = {
        "empty": b"",
        "short": content[:-1],
        "long": content + b"\0",
        "flipped": content[:90] + bytes([content[90] ^ 1]) + content[91:],
        "other": b"SQLite format 3\0" * 20,
    }
    for name, wrong in damaged.items():
        (tmp_path / name).write_bytes(wrong)
        with pytest.raises(Corruption) as caught:
            BurstEngine.load(tmp_path / name)
        assert caught.value.path == str(tmp_path / name)
        assert caught.value.hint
    (tmp_path / "new").write_bytes(content[:8] + b"\x09" + content[9:])
    with pytest.raises(FormatTooNew):
        BurstEngine.load(tmp_path / "new")
    with pytest.raises(NotFound):
        BurstEngine.load(tmp_path / "nowhere")
    with pytest.raises(StorageError):
        BurstEngine.load(tmp_path)
    with pytest.raises(InvalidInput):
        BurstEngine.load(None)
    with pytest.raises(InvalidInput):
        BurstEngine.load(whole, threads=0)


def test_a_file_appears_whole_or_not_at_all(engine, tmp_path):
    with pytest.raises(StorageError):
        engine.save(tmp_path / "no such directory" / "a")
    (tmp_path / "a").mkdir()
    with pytest.raises(StorageError):
        engine.save(tmp_path / "a")
    assert [file.name for file in tmp_path.iterdir()] == ["a"]
    with pytest.raises(StorageError):
        engine.save("a\0b")
    engine.save(tmp_path / "b")
    engine.process_burst([1])
    engine.save(tmp_path / "b")
    assert BurstEngine.load(tmp_path / "b").burst_count == 6


ANY = st.one_of(
    st.integers(-5, 300),
    st.floats(),
    st.text(max_size=3),
    st.none(),
    st.lists(st.integers(-3, 270), max_size=5),
    arrays.arrays(
        st.one_of(arrays.integer_dtypes(), arrays.floating_dtypes(), arrays.boolean_dtypes()),
        arrays.array_shapes(max_dims=2, max_side=4),
    ),
)


@given(columns=st.tuples(ANY, ANY, ANY, ANY, ANY))
def test_synapses_of_any_input_are_added_or_refused(columns):
    engine = BurstEngine(6, 4)
    engine.add_synapse(0, 1, 9)
    before = state(engine)
    try:
        engine.add_synapses(*columns)
    except DbError:
        assert state(engine) == before
    else:
        lengths = {len(np.atleast_1d(column)) for column in columns}
        added = 0 if 0 in lengths else max(lengths)
        assert engine.get_synapse_count() == 1 + added


@given(columns=st.tuples(ANY, ANY, ANY, ANY, ANY))
def test_neurons_of_any_input_are_added_or_refused(columns):
    engine = BurstEngine(1, 4)
    before = state(engine)
    try:
        numbers = engine.add_neurons(*columns)
    except DbError:
        assert state(engine) == before
    else:
        assert engine.get_neuron_count() == max(1, len(numbers))
        engine.process_burst(numbers)
        assert np.isfinite(engine.potentials).all()
