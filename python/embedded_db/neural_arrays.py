"""The arrays of a burst engine: read-only views of its own memory."""

import numpy as np
import numpy.typing as npt

from ._native import Network

__all__ = ["NetworkArrays"]


class NetworkArrays:
    """The arrays of a `BurstEngine`.

    Examples:
        >>> from embedded_db.neural import BurstEngine
        >>> engine = BurstEngine(2, 1)
        >>> potentials = engine.potentials
        >>> _ = engine.process_burst([1], power_amount=0.5)
        >>> potentials
        array([0. , 0.5], dtype=float32)
    """

    __slots__ = ("_network",)

    _network: Network

    @property
    def potentials(self) -> npt.NDArray[np.float32]:
        """Potentials after the last burst: float32[n], of n neurons."""
        return self._network.neuron_array("potentials")

    @property
    def thresholds(self) -> npt.NDArray[np.float32]:
        """Potentials at which neurons may fire: float32[n], of n neurons."""
        return self._network.neuron_array("thresholds")

    @property
    def leak_rates(self) -> npt.NDArray[np.float32]:
        """Shares of their potential that neurons lose in a burst: float32[n], of n neurons."""
        return self._network.neuron_array("leak_rates")

    @property
    def excitabilities(self) -> npt.NDArray[np.float32]:
        """Probabilities of firing at or above the threshold: float32[n], of n neurons."""
        return self._network.neuron_array("excitabilities")

    @property
    def refractory_periods(self) -> npt.NDArray[np.uint16]:
        """Bursts that neurons rest after a firing: uint16[n], of n neurons."""
        return self._network.neuron_array("refractory_periods")

    @property
    def refractory_countdowns(self) -> npt.NDArray[np.uint16]:
        """Bursts that neurons still rest: uint16[n], of n neurons."""
        return self._network.neuron_array("refractory_countdowns")

    @property
    def areas(self) -> npt.NDArray[np.uint32]:
        """Areas that neurons belong to: uint32[n], of n neurons."""
        return self._network.neuron_array("areas")

    @property
    def coordinates(self) -> npt.NDArray[np.float32]:
        """Where neurons lie: float32[n, 3], of n neurons."""
        return self._network.neuron_array("coordinates")

    @property
    def synapse_sources(self) -> npt.NDArray[np.uint32]:
        """Neurons whose firing is passed on: uint32[m], of m synapses, by source, then target."""
        return self._network.synapse_array("synapse_sources")

    @property
    def synapse_targets(self) -> npt.NDArray[np.uint32]:
        """Neurons that are given something: uint32[m], of m synapses, by source, then target."""
        return self._network.synapse_array("synapse_targets")

    @property
    def synapse_weights(self) -> npt.NDArray[np.uint8]:
        """Weights, in units of 1/255: uint8[m], of m synapses, by source, then target."""
        return self._network.synapse_array("synapse_weights")

    @property
    def synapse_conductances(self) -> npt.NDArray[np.uint8]:
        """Conductances, in units of 1/255: uint8[m], of m synapses, by source, then target."""
        return self._network.synapse_array("synapse_conductances")

    @property
    def synapse_types(self) -> npt.NDArray[np.uint8]:
        """Excitatory (0) or inhibitory (1): uint8[m], of m synapses, by source, then target."""
        return self._network.synapse_array("synapse_types")
