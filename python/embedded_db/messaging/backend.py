"""What holds the messages: the native module, or Python alone where that is not available."""

from typing import TYPE_CHECKING

from ..availability import NATIVE_AVAILABLE

if TYPE_CHECKING or NATIVE_AVAILABLE:
    from .._native import Bus, DeadLetter, Delivery, Subscription
else:
    from .pure import Bus, DeadLetter, Delivery, Subscription

__all__ = ["Bus", "DeadLetter", "Delivery", "Subscription"]
