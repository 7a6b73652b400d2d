"""How long bursts of the burst engine take, and the same network in NumPy beside it.

    python benches/bursts.py [--turns N] [--threads N]

Random networks: a tenth of the synapses inhibitory, a leak of 0.1 and a refractory period of 1.
With each burst the wanted share of the neurons, chosen at random among those that do not rest, is
given the power to fire; what synapses give lies below every threshold. Both sides get the same
power, in turns of five bursts, and who fires is compared each time. NumPy has the synapses by
source and gathers only the rows of who fired, sums with ``bincount`` and computes all neurons in
arrays of float32. Times are medians; propagation is the phase ``injection``; "own" is the
processor's time of the thread, without what it has waited for a processor.
"""

import argparse
import os
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from measuring import Row, processor, shown

from embedded_db.neural import BurstEngine

SMALL = 22_590, 500_000
LARGE = 1_200_000, 12_000_000
RATES = 0.0001, 0.001, 0.01, 0.05, 0.1, 0.2
TURN = 5
POWER = 1000.0
UNIT = np.float32(1) / np.float32(65025)


class Numpy:
    """The network in plain arrays, synapses by source."""

    def __init__(self, neurons: int, columns: list[Any]) -> None:
        source, target, weight, conductance, type = columns
        order = np.argsort(source, kind="stable")
        self.target = target[order]
        given = weight.astype(np.float64) * conductance * np.where(type == 0, 1, -1)
        self.given = given[order]  # whole numbers, which a float64 adds exactly
        self.begin = np.searchsorted(source[order], np.arange(neurons + 1))
        self.potential = np.zeros(neurons, np.float32)
        self.countdown = np.zeros(neurons, np.uint16)
        self.fired = np.zeros(0, np.int64)
        self.propagation = 0.0

    def process_burst(self, power: Any) -> Any:
        begun = time.perf_counter()
        first, after = self.begin[self.fired], self.begin[self.fired + 1]
        counts = after - first
        ends = np.cumsum(counts)
        places = np.repeat(first - ends + counts, counts) + np.arange(counts.sum())
        sums = np.bincount(self.target[places], self.given[places], len(self.potential))
        self.propagation = time.perf_counter() - begun
        self.potential *= np.float32(0.9)
        self.potential[np.abs(self.potential) < np.float32(2.0**-20)] = 0
        free = self.countdown == 0
        self.potential += np.where(free, sums.astype(np.float32) * UNIT, np.float32(0))
        awake = power[free[power]]
        self.potential[awake] += np.float32(POWER)
        self.fired = np.flatnonzero(free & (self.potential >= 100))
        np.subtract(self.countdown, 1, out=self.countdown, where=~free)
        self.potential[self.fired] = 0
        self.countdown[self.fired] = 1
        return self.fired


class Pair:
    """A network in the engine, and in NumPy."""

    def __init__(self, neurons: int, synapses: int, threads: int) -> None:
        self.random = np.random.default_rng(5)
        self.neurons = neurons
        columns = [
            *self.random.integers(0, neurons, (2, synapses)),
            self.random.integers(0, 256, synapses, dtype=np.uint8),
            self.random.integers(0, 256, synapses, dtype=np.uint8),
            (self.random.random(synapses) < 0.1).astype(np.uint8),
        ]
        self.engine = BurstEngine(neurons, synapses, threads=threads)
        self.engine.add_neurons(np.full(neurons, 100.0), leak_rate=0.1, refractory_period=1)
        self.engine.add_synapses(*columns)
        self.engine.rebuild_indexes()
        self.engine.power_amount = POWER
        self.numpy = Numpy(neurons, columns)

    def measure(self, rate: float, turns: int) -> dict[str, float]:
        """Medians of microseconds over so many turns, and the share that fired."""
        samples: dict[str, list[float]] = defaultdict(list)
        count, resting = round(rate * self.neurons), self.numpy.fired
        for turn in range(turns):
            powers = []
            for _ in range(TURN):
                free = np.setdiff1d(np.arange(self.neurons), resting, assume_unique=True)
                resting = self.random.choice(free, count, replace=False)
                powers.append(resting)
            results = []
            for power in powers:
                begun, own = time.perf_counter(), time.thread_time()
                results.append(self.engine.process_burst(power))
                if turn:  # the first bursts have cold caches, and nothing to propagate
                    samples["burst"].append(time.perf_counter() - begun)
                    samples["own"].append(time.thread_time() - own)
                    samples["propagation"].append(results[-1].phase_times["injection"])
            for power, result in zip(powers, results, strict=True):
                begun = time.perf_counter()
                expected = self.numpy.process_burst(power)
                if turn:
                    samples["numpy"].append(time.perf_counter() - begun)
                    samples["numpy propagation"].append(self.numpy.propagation)
                assert np.array_equal(result.fired_neurons, expected)
                assert result.neuron_count == count
        return {name: statistics.median(values) * 1e6 for name, values in samples.items()}


def bursts(turns: int = 9, threads: int = 1) -> Iterator[Row]:
    """The figures with goals, and how a burst grows with the share that fires."""
    goals = {SMALL: (0.1, "≤ 0.3 ms", "≤ 0.8 ms"), LARGE: (0.01, "", "≤ 5 ms")}
    for shape, (rate, propagation, whole) in goals.items():
        pair = Pair(*shape, threads)
        name = f"{shape[0]:,} / {shape[1]:,}, {rate:.0%} fire"
        took = pair.measure(rate, turns)
        injected, gathered = took["propagation"], took["numpy propagation"]
        yield Row(f"{name}: propagation", injected, propagation, "NumPy", gathered)
        note = f"own {shown(took['own'])}"
        yield Row(f"{name}: burst", took["burst"], whole, "NumPy", took["numpy"], note)
        for rate in RATES:
            took = pair.measure(rate, max(turns // 3, 2))
            note = f"own {shown(took['own'])}, propagation {shown(took['propagation'])}"
            name = f"{shape[0]:,}, {rate:.2%} fire: burst"
            yield Row(name, took["burst"], "", "NumPy", took["numpy"], note)
        used = pair.engine.memory_usage()
        each = used["neurons"] / shape[0], used["synapses"] / shape[1]
        print(f"{each[0]:.1f} bytes a neuron, {each[1]:.1f} a synapse with its share of the rows")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure bursts.")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    print(f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}")
    load = os.getloadavg()[0]
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, load average {load:.1f}")
    for row in bursts(options.turns, options.threads):
        print(row, flush=True)


if __name__ == "__main__":
    main()
