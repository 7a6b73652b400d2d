"""What a burst engine is told and gives back, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from .arguments import natural_argument
from .neural_input import number_argument

__all__ = ["EXCITATORY", "INHIBITORY", "BurstResult", "Hebbian", "Stdp"]

EXCITATORY: Final = 0
"""The type of a synapse that raises the potential of its target."""

INHIBITORY: Final = 1
"""The type of a synapse that lowers the potential of its target."""


@dataclass(frozen=True, kw_only=True)
class Hebbian:
    """Weights that follow who fires right after whom.

    With each burst, for each excitatory synapse whose source fired in the burst before:
    ``w ← w + potentiation`` if its target fires in this one, else ``w ← w − depression``, kept
    within 0 and 255.

    Attributes:
        potentiation: what a weight gains, 0 to 255 in units of weight.
        depression: what it loses, 0 to 255 in units of weight.

    Raises:
        InvalidInput: a number out of range.

    Examples:
        >>> from embedded_db.neural import BurstEngine, Hebbian
        >>> engine = BurstEngine(2, 1)
        >>> engine.add_synapse(0, 1, weight=100)
        >>> engine.plasticity = Hebbian(potentiation=5, depression=1)
        >>> _ = engine.process_burst([0])
        >>> _ = engine.process_burst([1])  # right after its source
        >>> engine.synapse_weights
        array([105], dtype=uint8)
    """

    potentiation: int = 1
    depression: int = 0

    def __post_init__(self) -> None:
        for name in ("potentiation", "depression"):
            natural_argument(name, getattr(self, name), 255)


@dataclass(frozen=True, kw_only=True)
class Stdp:
    """Weights that follow the times between firings (spike-timing-dependent plasticity).

    ``Δ`` is how many bursts before this one a neuron fired last. With each burst, for each
    excitatory synapse: if its target fires,
    ``w ← w + ⌊potentiation · e^(−(Δ−1)/time_constant) + ½⌋`` with the ``Δ`` of its source; if its
    source fires, ``w ← w − ⌊depression · e^(−(Δ−1)/time_constant) + ½⌋`` with the ``Δ`` of its
    target. Where both fire, both count. A ``Δ`` above ``window`` gives nothing. Weights stay within
    0 and 255.

    Attributes:
        potentiation: what a weight gains at ``Δ`` = 1, 0 to 255 in units of weight.
        depression: what it loses at ``Δ`` = 1, 0 to 255 in units of weight.
        time_constant: in bursts, above 0.
        window: the largest ``Δ``, in bursts: 1 up to one less than ``fire_ledger_window``.

    Raises:
        InvalidInput: a value of a wrong type; what is out of range is refused by the engine.

    Examples:
        >>> from embedded_db.neural import BurstEngine, Stdp
        >>> engine = BurstEngine(2, 1)
        >>> engine.add_synapse(0, 1, weight=100)
        >>> engine.plasticity = Stdp(potentiation=8.0, depression=6.0, time_constant=5.0, window=10)
        >>> for power in ([0], [], [1]):
        ...     _ = engine.process_burst(power)
        >>> engine.synapse_weights  # Δ = 2: 8 · e^(−1/5) is 6.55
        array([107], dtype=uint8)
    """

    potentiation: float = 4.0
    depression: float = 4.0
    time_constant: float = 5.0
    window: int = 15

    def __post_init__(self) -> None:
        for name in ("potentiation", "depression", "time_constant"):
            number_argument(name, getattr(self, name))
        natural_argument("window", self.window, 2**16 - 1)


@dataclass(frozen=True, slots=True, eq=False)
class BurstResult:
    """What came of a burst.

    Attributes:
        burst: its number; the first one is 1.
        neuron_count: how many neurons fired.
        fired_neurons: which, in rising order: uint32[neuron_count].
        phase_times: seconds of ``"injection"``, ``"dynamics"``, ``"archival"``, ``"plasticity"``
            and ``"cleanup"``.

    Examples:
        >>> from embedded_db.neural import BurstEngine
        >>> result = BurstEngine(10, 0).process_burst([7, 3])
        >>> result.burst, result.neuron_count, result.fired_neurons, list(result.phase_times)[:2]
        (1, 2, array([3, 7], dtype=uint32), ['injection', 'dynamics'])
    """

    burst: int
    neuron_count: int
    fired_neurons: npt.NDArray[np.uint32]
    phase_times: Mapping[str, float]
