"""The burst engine once more: plain NumPy over all neurons and all synapses, formula by formula."""

import math

import numpy as np

from embedded_db.neural import Hebbian, Stdp

F = np.float32
U64 = np.uint64


class Reference:
    """A network with the parameters and synapses that the engine was given."""

    def __init__(self, seed=0):
        self.seed = seed
        self.burst = 0
        self.rule = None
        self.v, self.threshold, self.leak, self.excitability = (np.zeros(0, F) for _ in range(4))
        self.period, self.countdown = (np.zeros(0, np.int64) for _ in range(2))
        self.fired = np.zeros(0, bool)
        self.last = np.zeros(0, np.int64)  # the burst in which each fired last, 0 for none
        self.source, self.target, self.weight, self.conductance, self.type = (
            np.zeros(0, np.int64) for _ in range(5)
        )

    def add_neurons(self, threshold, leak, period, excitability):
        n = len(threshold)
        self.v = np.append(self.v, np.zeros(n, F))
        self.threshold = np.append(self.threshold, threshold.astype(F))
        self.leak = np.append(self.leak, leak.astype(F))
        self.excitability = np.append(self.excitability, excitability.astype(F))
        self.period = np.append(self.period, period)
        self.countdown = np.append(self.countdown, np.zeros(n, np.int64))
        self.fired = np.append(self.fired, np.zeros(n, bool))
        self.last = np.append(self.last, np.zeros(n, np.int64))

    def add_synapses(self, source, target, weight, conductance, type):
        self.source = np.append(self.source, source)
        self.target = np.append(self.target, target)
        self.weight = np.append(self.weight, weight)
        self.conductance = np.append(self.conductance, conductance)
        self.type = np.append(self.type, type)

    def between(self, source, target):
        return (self.source == source) & (self.target == target)

    def remove(self, gone):
        for name in ("source", "target", "weight", "conductance", "type"):
            setattr(self, name, getattr(self, name)[~gone])

    def process(self, power, amount):
        self.burst += 1
        on = self.fired[self.source]
        sums = np.zeros(len(self.v), np.int64)
        given = self.weight * self.conductance * np.where(self.type == 0, 1, -1)
        np.add.at(sums, self.target[on], given[on])

        self.v *= F(1) - self.leak
        self.v[np.abs(self.v) < F(2.0**-20)] = 0
        free = self.countdown == 0
        self.v += np.where(free, sums.astype(F) * (F(1) / F(65025)), F(0))
        powered = np.zeros(len(self.v), bool)
        powered[power] = True
        most = np.finfo(F).max
        with np.errstate(over="ignore"):
            raised = np.clip(self.v + F(amount), -most, most)
        self.v = np.where(powered & free, raised, self.v)
        fired = free & (self.v >= self.threshold) & (self.chance() < self.excitability)
        self.countdown = np.maximum(self.countdown - 1, 0)
        self.v[fired] = 0
        self.countdown[fired] = self.period[fired]

        self.adapt(fired)
        self.fired = fired
        self.last[fired] = self.burst
        return np.flatnonzero(fired)

    def chance(self):
        """Give a number from 0 up to 1 for each neuron: a function of seed, burst and neuron."""
        with np.errstate(over="ignore"):
            key = mixed(U64(self.seed) + U64(self.burst) * U64(0x9E3779B97F4A7C15))
            own = (np.arange(len(self.v), dtype=U64) + U64(1)) * U64(0xD1B54A32D192ED03)
            return (mixed(key + own) >> U64(40)).astype(F) * F(2.0**-24)

    def adapt(self, fired):
        change = np.zeros(len(self.source), np.int64)
        source_now, target_now = fired[self.source], fired[self.target]
        if isinstance(self.rule, Hebbian):
            before = self.fired[self.source]
            change[before & target_now] = self.rule.potentiation
            change[before & ~target_now] = -self.rule.depression
        elif isinstance(self.rule, Stdp):
            change += np.where(target_now, self.by_age(self.rule.potentiation, self.source), 0)
            change -= np.where(source_now, self.by_age(self.rule.depression, self.target), 0)
        change[self.type != 0] = 0
        self.weight = np.clip(self.weight + change, 0, 255)

    def by_age(self, most, neurons):
        """Give what each neuron's last firing before this burst counts for."""
        rule, last = self.rule, self.last[neurons]
        table = [0] + [
            math.floor(float(F(most)) * math.exp(-(age - 1) / float(F(rule.time_constant))) + 0.5)
            for age in range(1, rule.window + 1)
        ]
        age = np.where(last > 0, self.burst - last, 0)
        return np.array(table)[np.where(age <= rule.window, age, 0)]

    def synapses_in_order(self):
        """Give the synapses by source, target and age, as rows of an array."""
        order = np.lexsort((self.target, self.source))  # it is stable
        columns = self.source, self.target, self.weight, self.conductance, self.type
        return np.stack([column[order] for column in columns])


def mixed(bits):
    """Mix as SplitMix64 does at its end."""
    bits = (bits ^ (bits >> U64(30))) * U64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> U64(27))) * U64(0x94D049BB133111EB)
    return bits ^ (bits >> U64(31))
