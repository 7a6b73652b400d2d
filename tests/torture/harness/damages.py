"""What a disk may do to the bytes of a file."""

import random
from collections.abc import Callable

__all__ = [
    "PAGE",
    "Damage",
    "double_a_page",
    "flip_a_bit",
    "lose_half_a_page",
    "swap_two_pages",
    "zero_a_page",
]

PAGE = 4096

Damage = Callable[[bytearray, random.Random], None]


def flip_a_bit(data: bytearray, rng: random.Random) -> None:
    """One bit, anywhere."""
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def zero_a_page(data: bytearray, rng: random.Random) -> None:
    """A page was never written."""
    at = rng.randrange(len(data) // PAGE) * PAGE
    data[at : at + PAGE] = bytes(PAGE)


def swap_two_pages(data: bytearray, rng: random.Random) -> None:
    """Each lies where the other belongs; none of them is a meta page."""
    one, other = (page * PAGE for page in rng.sample(range(2, len(data) // PAGE), 2))
    data[one : one + PAGE], data[other : other + PAGE] = (
        data[other : other + PAGE],
        data[one : one + PAGE],
    )


def double_a_page(data: bytearray, rng: random.Random) -> None:
    """As if a write had gone to another place: one page is lost, another is there twice."""
    one, other = (page * PAGE for page in rng.sample(range(2, len(data) // PAGE), 2))
    data[one : one + PAGE] = data[other : other + PAGE]


def lose_half_a_page(data: bytearray, rng: random.Random) -> None:
    """A page was written in part."""
    at = rng.randrange(len(data) // PAGE) * PAGE + rng.randrange(1, PAGE // 512) * 512
    data[at : (at // PAGE + 1) * PAGE] = bytes(PAGE - at % PAGE)
