"""Messages between the threads and tasks of a program, in memory or kept in a directory.

`MessageBus` has channels, groups of consumers, priorities that age, an order for each key,
acknowledgement with redelivery, dead letters and requests. Messages are MessagePack: whoever gets
one has a copy. Without the native module (see ``embedded_db.NATIVE_AVAILABLE``) it does the same in
memory, more slowly.
"""

from .bus import MessageBus, SubscriptionStats
from .codec import pack, unpack
from .consumer import Consumer, Subscription
from .message import DeadLetter, Message

__all__ = [
    "Consumer",
    "DeadLetter",
    "Message",
    "MessageBus",
    "Subscription",
    "SubscriptionStats",
    "pack",
    "unpack",
]
