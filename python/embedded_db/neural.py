"""The burst engine: activation that spreads through a network of spiking neurons.

It stands by itself: neurons and synapses in arrays, advanced burst by burst. The page "The burst
engine" tells what happens in a burst, with every formula.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from ._native import Network
from .arguments import natural_argument, path_argument
from .errors import InvalidInput, NotFound, StorageError, shown
from .files import replace_file
from .neural_arrays import NetworkArrays
from .neural_input import (
    neurons_array,
    number_argument,
    numbers_array,
    places_array,
    same_length,
    wholes_array,
)
from .neural_values import EXCITATORY, INHIBITORY, BurstResult, Hebbian, Stdp

__all__ = ["EXCITATORY", "INHIBITORY", "BurstEngine", "BurstResult", "Hebbian", "Stdp"]

_PHASES: Final = ("injection", "dynamics", "archival", "plasticity", "cleanup")


class BurstEngine(NetworkArrays):
    """A network of spiking neurons that advances in steps, called bursts.

    Neurons have the numbers 0, 1, 2, … The first ``neuron_count`` are there at once, with a
    threshold of 1, no leak, no refractory period and an excitability of 1, so that synapses can be
    added straight away. `add_neuron` gives the next one parameters of its own, and adds neurons
    when all have theirs.

    The arrays, such as ``potentials``, are read-only views of the engine's own memory: nothing is
    copied, and they show what bursts change. While one of the neurons is in use the engine does
    not grow, and while one of the synapses is in use none is added or removed: such a call is
    refused. ``copy()`` what is to be kept, and delete the array. Synapses lie by source, then
    target, in theirs; asking for one calls `rebuild_indexes`.

    Every method may be called from any thread; one call at a time is in the engine, and others run
    Python meanwhile. The same seed gives the same result, on whatever number of threads. A call
    that raises has changed nothing.

    Args:
        neuron_count: neurons that are there at once, up to 2²⁸.
        synapse_capacity: the most synapses, up to 2³² − 1. Memory is taken as they are added.
        fire_ledger_window: of how many bursts is known who fired, 1 to 65,535.
        seed: what chance depends on, 0 to 2⁶⁴ − 1.
        threads: the most threads of a burst, 1 to 64. Small networks use one.

    Raises:
        InvalidInput: a number out of range.
        QuotaExceeded: there is not so much memory.

    Examples:
        >>> from embedded_db.neural import BurstEngine
        >>> engine = BurstEngine(neuron_count=3, synapse_capacity=10, seed=7)
        >>> engine.add_synapse(0, 1, weight=255)
        >>> engine.add_synapse(1, 2, weight=128)
        >>> for power in ([0], [], []):
        ...     print(engine.process_burst(power).fired_neurons)
        [0]
        [1]
        []
        >>> engine.potentials[2].round(3), engine.burst_count, engine.power_amount
        (np.float32(0.502), 3, 1.0)
        >>> engine.get_neuron_count(), engine.get_synapse_count(), engine.synapse_capacity
        (3, 2, 10)
        >>> engine.thresholds, engine.leak_rates, engine.excitabilities
        (array([1., 1., 1.], dtype=float32), array([0., 0., 0.], dtype=float32), array([1., 1., 1.], dtype=float32))
        >>> engine.refractory_periods, engine.refractory_countdowns, engine.areas
        (array([0, 0, 0], dtype=uint16), array([0, 0, 0], dtype=uint16), array([0, 0, 0], dtype=uint32))
        >>> engine.coordinates.shape, engine.fire_ledger_window, engine.seed, engine.threads
        ((3, 3), 20, 7, 1)
        >>> engine.synapse_sources, engine.synapse_targets, engine.synapse_weights
        (array([0, 1], dtype=uint32), array([1, 2], dtype=uint32), array([255, 128], dtype=uint8))
        >>> engine.synapse_conductances, engine.synapse_types, engine.plasticity
        (array([255, 255], dtype=uint8), array([0, 0], dtype=uint8), None)
        >>> engine.rebuild_indexes()
        >>> sorted(engine.memory_usage())
        ['ledger', 'neurons', 'synapses']
    """  # noqa: E501

    __slots__ = ()

    def __init__(
        self,
        neuron_count: int,
        synapse_capacity: int,
        fire_ledger_window: int = 20,
        *,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        self._network = Network(
            natural_argument("neuron_count", neuron_count, 2**28),
            natural_argument("synapse_capacity", synapse_capacity, 2**32 - 1),
            natural_argument("fire_ledger_window", fire_ledger_window, 2**16 - 1),
            natural_argument("seed", seed, 2**64 - 1),
            natural_argument("threads", threads, 64),
        )

    def __repr__(self) -> str:
        neurons, synapses, capacity, *_ = self._network.facts()
        return f"<BurstEngine: {neurons} neurons, {synapses} of {capacity} synapses>"

    # --- building -------------------------------------------------------------------------------

    def add_neuron(
        self,
        threshold: float = 1.0,
        leak_rate: float = 0.0,
        refractory_period: int = 0,
        excitability: float = 1.0,
        area: int = 0,
        coordinates: Sequence[float] = (0.0, 0.0, 0.0),
    ) -> int:
        """Give the next neuron that has none yet its parameters; add one when all have theirs.

        Args:
            threshold: the potential at which it may fire: finite, above 0.
            leak_rate: the share of its potential that it loses in a burst, 0 to 1.
            refractory_period: bursts after a firing in which it takes nothing in and does not
                fire, 0 to 65,535.
            excitability: the probability of firing in a burst, at or above the threshold: 0 to 1.
            area: the area it belongs to, a number of yours: 0 to 2³² − 1.
            coordinates: where it lies, three finite numbers in units of yours.

        Returns:
            Its number.

        Raises:
            InvalidInput: a value of a wrong type or out of range; or the engine would have to
                grow while an array of its neurons is in use.
            QuotaExceeded: there is no memory.

        Examples:
            >>> from embedded_db.neural import BurstEngine
            >>> engine = BurstEngine(1, 10)
            >>> engine.add_neuron(threshold=0.5, leak_rate=0.1), engine.add_neuron(threshold=2.0)
            (0, 1)
            >>> engine.thresholds
            array([0.5, 2. ], dtype=float32)
        """
        numbers = self.add_neurons(
            [threshold], [leak_rate], [refractory_period], [excitability], [area], [coordinates]
        )
        return int(numbers[0])

    def add_neurons(
        self,
        threshold: npt.ArrayLike = 1.0,
        leak_rate: npt.ArrayLike = 0.0,
        refractory_period: npt.ArrayLike = 0,
        excitability: npt.ArrayLike = 1.0,
        area: npt.ArrayLike = 0,
        coordinates: npt.ArrayLike = (0.0, 0.0, 0.0),
    ) -> npt.NDArray[np.uint32]:
        """Give the next n neurons their parameters, as `add_neuron` does for one.

        Each argument is an array of n values, or one value for all.

        Args:
            threshold: float[n]: finite, above 0.
            leak_rate: float[n]: 0 to 1.
            refractory_period: int[n], in bursts: 0 to 65,535.
            excitability: float[n]: 0 to 1.
            area: int[n]: 0 to 2³² − 1.
            coordinates: float[n, 3]: finite.

        Returns:
            Their numbers, uint32[n].

        Raises:
            InvalidInput: arrays of several lengths, of a wrong type or with a value out of range
                (``item`` says which, ``field`` of what); or the engine would have to grow while an
                array of its neurons is in use.
            QuotaExceeded: there is no memory.

        Examples:
            >>> import numpy as np
            >>> from embedded_db.neural import BurstEngine
            >>> engine = BurstEngine(0, 10)
            >>> engine.add_neurons(threshold=np.array([0.5, 0.7, 0.9]), leak_rate=0.1)
            array([0, 1, 2], dtype=uint32)
        """
        columns = same_length(
            {
                "threshold": numbers_array("threshold", threshold),
                "leak_rate": numbers_array("leak_rate", leak_rate),
                "refractory_period": wholes_array(
                    "refractory_period", refractory_period, np.uint16
                ),
                "excitability": numbers_array("excitability", excitability),
                "area": wholes_array("area", area, np.uint32),
                "coordinates": places_array(coordinates),
            }
        )
        first = self._network.add_neurons(*columns)
        return np.arange(first, first + len(columns[0]), dtype=np.uint32)

    def set_neuron_mapping(self, mapping: Mapping[int, int]) -> None:
        """Put neurons into areas.

        Args:
            mapping: the area, 0 to 2³² − 1, by the number of a neuron.

        Raises:
            InvalidInput: it is no mapping of whole numbers.
            NotFound: there is no such neuron.

        Examples:
            >>> from embedded_db.neural import BurstEngine
            >>> engine = BurstEngine(3, 0)
            >>> engine.set_neuron_mapping({0: 5, 2: 6})
            >>> engine.areas
            array([5, 0, 6], dtype=uint32)
        """
        if not isinstance(mapping, Mapping):
            raise InvalidInput(
                f"mapping is {shown(mapping)}", hint="Give a dict of areas by neuron"
            )
        neurons = neurons_array("neuron", list(mapping))
        areas = wholes_array("area", list(mapping.values()), np.uint32)
        self._network.set_areas(neurons, areas)

    def add_synapse(
        self,
        source: int,
        target: int,
        weight: int,
        conductance: int = 255,
        type: int = EXCITATORY,
    ) -> None:
        """Add a synapse, by which a neuron's firing reaches another one in the next burst.

        It gives ``± (weight / 255) · (conductance / 255)`` to the potential of its target. Several
        between the same two neurons add up.

        Args:
            source: the number of the neuron whose firing is passed on.
            target: the number of the neuron that is given something; it may be the same.
            weight: what plasticity changes, 0 to 255.
            conductance: what stays, 0 to 255.
            type: `EXCITATORY` (0) or `INHIBITORY` (1).

        Raises:
            InvalidInput: a value of a wrong type or out of range; or an array of the synapses is
                in use.
            NotFound: there is no such neuron.
            QuotaExceeded: there would be more than ``synapse_capacity``, or there is no memory.

        Examples:
            >>> from embedded_db.neural import INHIBITORY, BurstEngine
            >>> engine = BurstEngine(2, 10)
            >>> engine.add_synapse(0, 1, weight=200, conductance=128, type=INHIBITORY)
            >>> engine.get_synapse_count()
            1
        """
        self.add_synapses([source], [target], [weight], [conductance], [type])

    def add_synapses(
        self,
        source: npt.ArrayLike,
        target: npt.ArrayLike,
        weight: npt.ArrayLike,
        conductance: npt.ArrayLike = 255,
        type: npt.ArrayLike = EXCITATORY,
    ) -> None:
        """Add n synapses, as `add_synapse` does one.

        Each argument is an array of n whole numbers, or one number for all.

        Args:
            source: int[n]: numbers of neurons.
            target: int[n]: numbers of neurons.
            weight: int[n]: 0 to 255.
            conductance: int[n]: 0 to 255.
            type: int[n]: `EXCITATORY` (0) or `INHIBITORY` (1).

        Raises:
            InvalidInput: arrays of several lengths, of a wrong type or with a value out of range
                (``item`` says which, ``field`` of what); or an array of the synapses is in use.
            NotFound: there is no such neuron.
            QuotaExceeded: there would be more than ``synapse_capacity``, or there is no memory.

        Examples:
            >>> import numpy as np
            >>> from embedded_db.neural import BurstEngine
            >>> engine = BurstEngine(1000, 5000)
            >>> targets = np.random.default_rng(1).integers(0, 1000, 5000)
            >>> engine.add_synapses(np.repeat(np.arange(1000), 5), targets, weight=90)
            >>> engine.get_synapse_count()
            5000
        """
        columns = same_length(
            {
                "source": neurons_array("source", source),
                "target": neurons_array("target", target),
                "weight": wholes_array("weight", weight, np.uint8),
                "conductance": wholes_array("conductance", conductance, np.uint8),
                "type": wholes_array("type", type, np.uint8),
            }
        )
        self._network.add_synapses(*columns)

    def remove_synapse(self, source: int, target: int) -> int:
        """Remove all synapses from one neuron to another.

        Args:
            source: the number of the neuron whose firing is passed on.
            target: the number of the neuron that is given something.

        Returns:
            How many there were.

        Raises:
            InvalidInput: a value of a wrong type; or an array of the synapses is in use.
            NotFound: there is no such neuron, or no such synapse.

        Examples:
            >>> from embedded_db.neural import BurstEngine
            >>> engine = BurstEngine(2, 10)
            >>> engine.add_synapse(0, 1, weight=200)
            >>> engine.remove_synapse(0, 1), engine.get_synapse_count()
            (1, 0)
        """
        return self.remove_synapses([source], [target])

    def remove_synapses(self, source: npt.ArrayLike, target: npt.ArrayLike) -> int:
        """Remove all synapses between n pairs of neurons.

        Args:
            source: int[n]: numbers of neurons, or one for all.
            target: int[n]: numbers of neurons, or one for all.

        Returns:
            How many there were.

        Raises:
            InvalidInput: arrays of several lengths or of a wrong type; or an array of the synapses
                is in use.
            NotFound: there is no such neuron, or no synapse between two of them; none is removed.

        Examples:
            >>> from embedded_db.neural import BurstEngine
            >>> engine = BurstEngine(3, 10)
            >>> engine.add_synapses([0, 0, 1], [1, 2, 2], weight=200)
            >>> engine.remove_synapses([0, 1], 2), engine.get_synapse_count()
            (2, 1)
        """
        return self._network.remove_synapses(*_pairs(source, target))

    def update_weight(self, source: int, target: int, weight: int) -> int:
        """Set the weight of all synapses from one neuron to another.

        Args:
            source: the number of the neuron whose firing is passed on.
            target: the number of the neuron that is given something.
            weight: 0 to 255.

        Returns:
            How many there are.

        Raises:
            InvalidInput: a value of a wrong type or out of range.
            NotFound: there is no such neuron, or no such synapse.

        Examples:
            >>> from embedded_db.neural import BurstEngine
            >>> engine = BurstEngine(2, 10)
            >>> engine.add_synapse(0, 1, weight=200)
            >>> engine.update_weight(0, 1, 90), engine.synapse_weights
            (1, array([90], dtype=uint8))
        """
        return self.update_weights([source], [target], [weight])

    def update_weights(
        self, source: npt.ArrayLike, target: npt.ArrayLike, weight: npt.ArrayLike
    ) -> int:
        """Set the weights of all synapses between n pairs of neurons.

        Args:
            source: int[n]: numbers of neurons, or one for all.
            target: int[n]: numbers of neurons, or one for all.
            weight: int[n]: 0 to 255, or one for all. Of a pair that is named twice the last holds.

        Returns:
            How many synapses were set, those of a pair that is named twice counted twice.

        Raises:
            InvalidInput: arrays of several lengths, of a wrong type or with a value out of range.
            NotFound: there is no such neuron, or no synapse between two of them; none is changed.

        Examples:
            >>> from embedded_db.neural import BurstEngine
            >>> engine = BurstEngine(3, 10)
            >>> engine.add_synapses([0, 0], [1, 2], weight=200)
            >>> engine.update_weights(0, [1, 2], [10, 20]), engine.synapse_weights
            (2, array([10, 20], dtype=uint8))
        """
        columns = {
            "source": neurons_array("source", source),
            "target": neurons_array("target", target),
            "weight": wholes_array("weight", weight, np.uint8),
        }
        return self._network.update_weights(*same_length(columns))

    def rebuild_indexes(self) -> None:
        """Put all synapses in order, by source and then target, and drop what was removed.

        Propagation is quickest then. It is done anyway before a burst when more than a quarter of
        the synapses (and more than 1,024) were added or removed since; done beforehand, that burst
        does not wait for it.

        Raises:
            InvalidInput: an array of the synapses is in use, and they are not in order.
            QuotaExceeded: there is no memory.
        """
        self._network.rebuild_indexes()

    # --- bursts ---------------------------------------------------------------------------------

    def process_burst(
        self, power_neurons: npt.ArrayLike = (), power_amount: float | None = None
    ) -> BurstResult:
        """Advance by one burst.

        Args:
            power_neurons: int[n]: numbers of neurons whose potential is raised by the power amount,
                each once, however often it is named. One that rests takes nothing in.
            power_amount: by how much, in this burst only: a finite number. None takes the
                attribute ``power_amount``.

        Returns:
            Who fired, and what the phases took.

        Raises:
            InvalidInput: a value of a wrong type or out of range.
            NotFound: there is no such neuron.
            QuotaExceeded: there is no memory.

        Examples:
            >>> from embedded_db.neural import BurstEngine
            >>> engine = BurstEngine(3, 10)
            >>> engine.add_synapse(0, 2, weight=255)
            >>> engine.process_burst([0, 1], power_amount=1.5).fired_neurons
            array([0, 1], dtype=uint32)
            >>> engine.process_burst().fired_neurons
            array([2], dtype=uint32)
        """
        power = neurons_array("power_neurons", power_neurons)
        amount = None if power_amount is None else number_argument("power_amount", power_amount)
        burst, fired, times = self._network.burst(power, amount)
        return BurstResult(burst, len(fired), fired, dict(zip(_PHASES, times, strict=True)))

    def get_fire_history(self, neuron: int) -> list[int]:
        """Tell in which of the last ``fire_ledger_window`` bursts a neuron fired.

        Args:
            neuron: its number.

        Returns:
            Their numbers, the oldest first.

        Raises:
            InvalidInput: a value of a wrong type.
            NotFound: there is no such neuron.

        Examples:
            >>> from embedded_db.neural import BurstEngine
            >>> engine = BurstEngine(1, 0, fire_ledger_window=2)
            >>> for power in ([0], [0], [], [0]):
            ...     _ = engine.process_burst(power)
            >>> engine.get_fire_history(0)  # of bursts 3 and 4
            [4]
        """
        numbers = neurons_array("neuron", neuron)
        if len(numbers) != 1:
            raise InvalidInput(f"neuron is {shown(neuron)}", hint="Give the number of one neuron")
        return self._network.fire_history(int(numbers[0]))

    @property
    def power_amount(self) -> float:
        """By how much a burst raises the potential of a power neuron: a finite number."""
        return self._network.power_amount()

    @power_amount.setter
    def power_amount(self, amount: float) -> None:
        self._network.set_power_amount(number_argument("power_amount", amount))

    @property
    def plasticity(self) -> Hebbian | Stdp | None:
        """How weights change: a `Hebbian` or `Stdp` rule, or None, which it is at first."""
        rule = self._network.plasticity()
        if rule is None:
            return None
        potentiation, depression, timing = rule
        if timing is None:
            return Hebbian(potentiation=int(potentiation), depression=int(depression))
        time_constant, window = timing
        return Stdp(
            potentiation=potentiation,
            depression=depression,
            time_constant=time_constant,
            window=window,
        )

    @plasticity.setter
    def plasticity(self, rule: Hebbian | Stdp | None) -> None:
        if rule is None:
            self._network.set_no_plasticity()
        elif isinstance(rule, Hebbian):
            self._network.set_hebbian(rule.potentiation, rule.depression)
        elif isinstance(rule, Stdp):
            amounts = rule.potentiation, rule.depression, rule.time_constant
            self._network.set_stdp(*amounts, rule.window)
        else:
            raise InvalidInput(
                f"plasticity is {shown(rule)}", hint="Give a Hebbian, a Stdp, or None"
            )

    # --- what there is --------------------------------------------------------------------------

    def get_neuron_count(self) -> int:
        """Tell how many neurons there are."""
        return self._network.facts()[0]

    def get_synapse_count(self) -> int:
        """Tell how many synapses there are, without those that were removed."""
        return self._network.facts()[1]

    @property
    def synapse_capacity(self) -> int:
        """The most synapses there may be."""
        return self._network.facts()[2]

    @property
    def fire_ledger_window(self) -> int:
        """Of how many bursts it is known who fired."""
        return self._network.facts()[3]

    @property
    def seed(self) -> int:
        """What chance depends on."""
        return self._network.facts()[4]

    @property
    def burst_count(self) -> int:
        """How many bursts there were."""
        return self._network.facts()[5]

    @property
    def threads(self) -> int:
        """The most threads of a burst, 1 to 64; results do not depend on it."""
        return self._network.threads()

    @threads.setter
    def threads(self, threads: int) -> None:
        self._network.set_threads(natural_argument("threads", threads, 64))

    def memory_usage(self) -> dict[str, int]:
        """Tell how many bytes ``"neurons"``, ``"synapses"`` and the ``"ledger"`` take."""
        return dict(zip(("neurons", "synapses", "ledger"), self._network.bytes(), strict=True))

    # --- files ----------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network with all its states to a file, which appears whole or not at all.

        It has a version and a checksum. `rebuild_indexes` is called first.

        Args:
            path: the file; one that is there is replaced.

        Raises:
            InvalidInput: it is no path.
            StorageError: the file cannot be written.

        Examples:
            >>> from embedded_db.neural import BurstEngine
            >>> engine = BurstEngine(10, 10)
            >>> engine.save("small.burst")
            >>> BurstEngine.load("small.burst")
            <BurstEngine: 10 neurons, 0 of 10 synapses>
        """
        target = path_argument("path", path, "Give the name of a file")
        content = self._network.save()
        try:
            replace_file(target, [content])
        except (OSError, ValueError) as error:
            raise _refused("written", target, error) from error

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, threads: int = 1) -> Self:
        """Read a network that was saved; it goes on as the saved one would have.

        Args:
            path: the file.
            threads: the most threads of a burst, 1 to 64.

        Raises:
            InvalidInput: it is no path, or ``threads`` is out of range.
            NotFound: there is no such file.
            StorageError: the file cannot be read.
            Corruption: the file is damaged, or another kind of file.
            FormatTooNew: a later version has written it.

        Examples:
            >>> from embedded_db.neural import BurstEngine
            >>> engine = BurstEngine(10, 10)
            >>> _ = engine.process_burst([3])
            >>> engine.save("a.burst")
            >>> BurstEngine.load("a.burst").get_fire_history(3)
            [1]
        """
        source = path_argument("path", path, "Give the name of a file")
        threads = natural_argument("threads", threads, 64)
        try:
            with open(source, "rb") as file:
                content = file.read()
        except FileNotFoundError as error:
            raise NotFound(
                f"there is no file {shown(source)}", hint="Check the path", path=source
            ) from error
        except (OSError, ValueError) as error:
            raise _refused("read", source, error) from error
        engine = cls.__new__(cls)
        engine._network = Network.load(content, source, threads)
        return engine


def _pairs(source: object, target: object) -> list[npt.NDArray[Any]]:
    return same_length(
        {"source": neurons_array("source", source), "target": neurons_array("target", target)}
    )


def _refused(what: str, path: str, error: Exception) -> StorageError:
    reason = getattr(error, "strerror", None) or shown(str(error))
    return StorageError(
        f"the file {shown(path)} cannot be {what}: {reason}",
        hint="Check the path, the permissions and the room on the disk",
        path=path,
    )
