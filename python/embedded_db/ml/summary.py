"""Extractive summaries: the few messages that stand for the others, in their own words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from embedded_db.ml.encoders import Floats

__all__ = ["MAX_CHARACTERS", "MAX_MESSAGES", "extract"]

MAX_MESSAGES = 3
MAX_CHARACTERS = 600

# What is longer than that part of a conversation is hardly shorter than it.
_MAX_SHARE = 1 / 3
# Lengths are bytes of UTF-8, for a Chinese character says more than a letter. So short is any chat.
_SHORT = 150
# A conversation says early what it is about; a later message has to be that much more central.
_EARLY_BONUS = 0.25
# "Okay." and "Thanks!" are close to everything and say nothing.
_FULL_LENGTH = 40
_LEAST_LENGTH = 30
_REPETITION = 0.5


def extract(messages: Sequence[str], vectors: Floats) -> str:
    """At most three messages and 600 characters, speaker prefix kept, in chat order, one a line.

    Of more than three messages it takes those that fit in a third of their length or in 150 bytes.
    They are scored by the cosine to the mean of all (the centroid form of extractive
    summarisation, Radev et al., 2004), by position and by having something to say; after each
    choice, messages close to it lose (maximal marginal relevance, Carbonell and Goldstein, 1998).
    O(n * dim).

    Args:
        messages: the chat, in order.
        vectors: float32 [n, dim], one a message.
    """
    if not messages:
        return ""
    lines = [" ".join(messages[i].split()) for i in sorted(_choose(messages, vectors))]
    return "\n".join(_fit(lines, MAX_CHARACTERS - len(lines) + 1))


def _fit(lines: list[str], room: int) -> list[str]:
    """``lines`` cut to ``room`` characters in all; what a short line leaves goes to longer ones."""
    fitted = list(lines)
    for left, i in enumerate(sorted(range(len(lines)), key=lambda i: len(lines[i]))):
        fitted[i] = _shorten(lines[i], room // (len(lines) - left))
        room -= len(fitted[i])
    return fitted


def _choose(messages: Sequence[str], vectors: Floats) -> list[int]:
    count = len(messages)
    if count <= MAX_MESSAGES:
        return [i for i in range(count) if messages[i].strip()] or [0]
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, 1)
    mean = unit.mean(axis=0)
    mean /= float(np.linalg.norm(mean)) or 1.0
    length = np.array([len(message.strip().encode()) for message in messages])
    score = unit @ mean + _EARLY_BONUS * np.exp(-np.arange(count, dtype=np.float32) / 4)
    score = score * np.minimum(length / _FULL_LENGTH, 1)
    room = max(_MAX_SHARE * length.sum(), _SHORT)
    chosen: list[int] = []
    while len(chosen) < MAX_MESSAGES:
        best = int(np.argmax(score))
        if not np.isfinite(score[best]):
            break
        chosen.append(best)
        room -= length[best]
        score = score - _REPETITION * np.maximum(unit @ unit[best], 0)
        score[chosen] = -np.inf
        score[(length > room) | (length < _LEAST_LENGTH)] = -np.inf
    return chosen


def _shorten(line: str, room: int) -> str:
    """``line`` cut to ``room`` characters at the end of a sentence, or else of a word."""
    if len(line) <= room:
        return line
    head = line[: room - 1]
    for mark in (". ", "! ", "? "):
        at = head.rfind(mark)
        if at >= room // 2:
            return head[: at + 1]
    at = head.rfind(" ")
    return (head[:at] if at >= room // 2 else head) + "…"
