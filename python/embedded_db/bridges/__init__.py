"""Messages to and from other programs through a broker: Redis Streams or Kafka.

`connect` gives a `Broker` on which one publishes, and consumes in groups that acknowledge.
`bridge_out` hands what is published on a `MessageBus` over to a broker, `bridge_in` brings it back,
and `EmbeddedDB.bridge_changes` publishes the change feed of a database. Each goes on by itself when
the broker comes back. The clients are extras: ``embedded-db[redis]``, ``embedded-db[kafka]``.
"""

from .bridge import Bridge, BridgeStats, bridge_in, bridge_out
from .broker import Broker, connect
from .config import BrokerConfig
from .consumer import BrokerConsumer
from .message import BrokerDeadLetter, BrokerMessage

__all__ = [
    "Bridge",
    "BridgeStats",
    "Broker",
    "BrokerConfig",
    "BrokerConsumer",
    "BrokerDeadLetter",
    "BrokerMessage",
    "bridge_in",
    "bridge_out",
    "connect",
]
