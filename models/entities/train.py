"""Train the entity head and write ``python/embedded_db/ml/data/entities.npz``.

Usage: ``python models/entities/train.py [--data FOLDER] [--out FILE] [--epochs N] [--seed N]``

Only CC BY corpora are read: WNUT17 train and sections b, g, h of the Broad Twitter Corpus. The
encoder stays frozen, so its hidden rows are computed once. MiniLM is uncased: a copy of a sentence
in another casing has the same hidden rows and other word features, and each epoch draws one casing
per sentence anew. A copy with a sender prefix ("Alice: …") has hidden rows of its own.

The loss is that of a linear-chain CRF where annotation may be partial: the Broad Twitter Corpus has
no products and works of art, so its "O" allows those tags too (Tsuboi et al., 2008). Everything is
NumPy; the gradients are written out below. A tenth of the sentences is held out of training; on it
the score of "O" is lowered by the step that gives the best typed plus untyped F1, for training on
likelihood alone leaves the head too shy.
"""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from corpus import REPOSITORY, TRAINING, Sentence, data_folder, read
from numpy.typing import NDArray

from embedded_db.ml.encoders import Floats
from embedded_db.ml.entities import spans_of, words_of
from embedded_db.ml.gazetteer import FIRST_NAMES
from embedded_db.ml.head import TAGS, Head, best_tags
from embedded_db.ml.minilm import DIMENSION, MiniLM
from embedded_db.ml.word_features import FEATURES, LIST_COLUMNS, features

OUT = REPOSITORY / "python" / "embedded_db" / "ml" / "data" / "entities.npz"

HIDDEN = 128
BATCH = 32
RATE = 2e-3
DECAY = 0.02
DROP_INPUT, DROP_HIDDEN, DROP_LISTS = 0.3, 0.4, 0.3
PREFIXED = 0.3
CASINGS = ("as it is", "lower", "upper", "title", "names lower")
CASING_SHARES = (0.55, 0.25, 0.04, 0.04, 0.12)


@dataclass(frozen=True)
class Example:
    """One sentence ready for training: n words.

    ``first`` and ``mean`` float16 [n, 384]; ``allowed`` bool [n, K], the tags the annotation
    leaves open; ``shapes`` per casing float32 [n, FEATURES].
    """

    first: NDArray[np.float16]
    mean: NDArray[np.float16]
    allowed: NDArray[np.bool_]
    shapes: list[Floats]


# --- examples -------------------------------------------------------------------------------------


def recase(sentence: Sentence, casing: str) -> str:
    """The sentence's text in another casing, character by character so that offsets hold."""
    text = sentence.text
    if casing == "as it is":
        return text
    if casing == "names lower":
        out = list(text)
        for begin, end, _ in sentence.spans:
            out[begin:end] = [_single(c, c.lower()) for c in text[begin:end]]
        return "".join(out)
    if casing == "title":
        previous = [" ", *text]
        pairs = zip(text, previous, strict=False)
        return "".join(_single(c, c.upper() if p.isspace() else c) for c, p in pairs)
    change = str.lower if casing == "lower" else str.upper
    return "".join(_single(c, change(c)) for c in text)


def _single(old: str, new: str) -> str:
    return new if len(new) == 1 else old


def examples(model: MiniLM, sentences: list[Sentence], prefixes: list[str]) -> list[Example]:
    """Encode the sentences once; ``prefixes`` stand before them and are not searched."""
    texts = [prefix + each.text for prefix, each in zip(prefixes, sentences, strict=True)]
    tokens = model.tokenize(texts, words=True)
    words = [words_of(t, len(p), 1) for t, p in zip(tokens, prefixes, strict=True)]
    first = [np.zeros((len(w.tokens), DIMENSION), np.float16) for w in words]
    mean = [np.zeros((len(w.tokens), DIMENSION), np.float16) for w in words]

    def collect(text: int, start: int, states: Floats) -> None:
        low, high = np.searchsorted(words[text].tokens, (start, start + len(states)))
        if low == high:
            return
        at = words[text].tokens[low:high] - start
        counts = np.diff(at, append=len(states)).astype(np.float32)
        first[text][low:high] = states[at]
        mean[text][low:high] = np.add.reduceat(states, at, axis=0) / counts[:, None]

    model.encode(tokens, [False] * len(texts), collect, [True] * len(texts))
    result = []
    for i, sentence in enumerate(sentences):
        begins = words[i].begins - len(prefixes[i])
        ends = words[i].ends - len(prefixes[i])
        if len(begins) == 0:
            continue
        shapes = [features([recase(sentence, casing)], [(begins, ends)]) for casing in CASINGS]
        result.append(Example(first[i], mean[i], allowed_tags(sentence, begins, ends), shapes))
    return result


def allowed_tags(sentence: Sentence, begins: Any, ends: Any) -> NDArray[np.bool_]:
    """Which tags the annotation allows at each word: bool [n, K]."""
    unlabelled = [True] + [tag[2:] not in sentence.known for tag in TAGS[1:]]
    allowed = np.tile(np.array(unlabelled), (len(begins), 1))
    for begin, end in sentence.unsure:
        allowed[(begins >= begin) & (ends <= end)] = True
    for begin, end, label in sentence.spans:
        inside = np.flatnonzero((begins >= begin) & (ends <= end))
        allowed[inside] = False
        allowed[inside[:1], 1 + 2 * label] = True
        allowed[inside[1:], 2 + 2 * label] = True
    return allowed


# --- CRF ------------------------------------------------------------------------------------------


def chain(
    scores: Floats, mask: NDArray[np.bool_], moves: Floats, begin: Floats
) -> tuple[float, Floats, Floats, Floats]:
    """The log of Z and its gradients by scores, moves and begin, of a padded batch.

    ``scores`` [B, T, K] with -inf-like values at tags that are not allowed; ``mask`` [B, T].
    Forward-backward in log space (Rabiner, 1989); gradients are the marginals.
    """
    steps = scores.shape[1]
    forward = np.empty_like(scores)
    forward[:, 0] = scores[:, 0] + begin
    for t in range(1, steps):
        reach = _logsumexp(forward[:, t - 1, :, None] + moves, 1) + scores[:, t]
        forward[:, t] = np.where(mask[:, t, None], reach, forward[:, t - 1])
    log_z = _logsumexp(forward[:, -1], 1)
    backward = np.zeros_like(scores)
    move_gradient = np.zeros_like(moves)
    for t in range(steps - 1, 0, -1):
        onward = scores[:, t] + backward[:, t]
        joint = forward[:, t - 1, :, None] + moves + (onward - log_z[:, None])[:, None, :]
        live = mask[:, t]
        move_gradient += np.exp(joint[live]).sum(axis=0)
        back = _logsumexp(moves + onward[:, None, :], 2)
        backward[:, t - 1] = np.where(live[:, None], back, 0)
    marginal = np.exp(forward + backward - log_z[:, None, None]) * mask[..., None]
    return float(log_z.sum()), marginal, move_gradient, marginal[:, 0].sum(axis=0)


def _logsumexp(x: Floats, axis: int) -> Floats:
    top = x.max(axis=axis, keepdims=True)
    result: Floats = np.log(np.exp(x - top).sum(axis=axis)) + np.squeeze(top, axis)
    return result


# --- training -------------------------------------------------------------------------------------


class Adam:
    """AdamW (Loshchilov and Hutter, 2019) over the fields of a head."""

    def __init__(self, weights: dict[str, Floats]) -> None:
        self._m = {name: np.zeros_like(value) for name, value in weights.items()}
        self._v = {name: np.zeros_like(value) for name, value in weights.items()}
        self._step = 0

    def update(self, weights: dict[str, Floats], gradients: dict[str, Floats], rate: float) -> None:
        """Change ``weights`` in place."""
        self._step += 1
        for name, value in weights.items():
            gradient = gradients[name]
            self._m[name] += 0.1 * (gradient - self._m[name])
            self._v[name] += 0.01 * (gradient**2 - self._v[name])
            m = self._m[name] / (1 - 0.9**self._step)
            v = self._v[name] / (1 - 0.99**self._step)
            value -= rate * (m / (np.sqrt(v) + 1e-8))
            if value.ndim == 2 and name != "moves":
                value -= rate * DECAY * value


def start(rng: np.random.Generator) -> dict[str, Floats]:
    """Random weights for a head."""

    def normal(rows: int, columns: int, fan: int) -> Floats:
        return rng.standard_normal((rows, columns), np.float32) * np.float32(fan**-0.5)

    tags = len(TAGS)
    return {
        "first": normal(DIMENSION, HIDDEN, 2 * DIMENSION) * 2,
        "mean": normal(DIMENSION, HIDDEN, 2 * DIMENSION) * 2,
        "shape": normal(FEATURES, HIDDEN, 20),
        "bias": np.zeros(HIDDEN, np.float32),
        "out": normal(HIDDEN, tags, HIDDEN),
        "out_bias": np.array([2.0] + [0.0] * (tags - 1), np.float32),
        "moves": np.zeros((tags, tags), np.float32),
        "begin": np.zeros(tags, np.float32),
    }


def step(
    weights: dict[str, Floats], batch: list[Example], rng: np.random.Generator
) -> tuple[float, dict[str, Floats]]:
    """Loss per sentence and gradients of one batch."""
    lengths = np.array([len(each.first) for each in batch])
    casing = rng.choice(len(CASINGS), len(batch), p=CASING_SHARES)
    first = np.concatenate([each.first for each in batch]).astype(np.float32)
    mean = np.concatenate([each.mean for each in batch]).astype(np.float32)
    shape = np.concatenate([each.shapes[c] for each, c in zip(batch, casing, strict=True)])
    forget = rng.random((len(batch), len(LIST_COLUMNS))) < DROP_LISTS
    shape[:, LIST_COLUMNS] *= ~np.repeat(forget, lengths, axis=0)

    keep = 1 - DROP_INPUT
    first *= (rng.random(first.shape, np.float32) < keep) / np.float32(keep)
    mean *= (rng.random(mean.shape, np.float32) < keep) / np.float32(keep)
    before = first @ weights["first"] + mean @ weights["mean"] + shape @ weights["shape"]
    before += weights["bias"]
    keep = 1 - DROP_HIDDEN
    gate = (before > 0) * ((rng.random(before.shape, np.float32) < keep) / np.float32(keep))
    hidden = before * gate
    scores = hidden @ weights["out"] + weights["out_bias"]

    mask = np.arange(lengths.max()) < lengths[:, None]
    padded = np.zeros((*mask.shape, scores.shape[1]), np.float32)
    padded[mask] = scores
    allowed = np.ones(padded.shape, bool)
    allowed[mask] = np.concatenate([each.allowed for each in batch])
    free = chain(padded, mask, weights["moves"], weights["begin"])
    tied = chain(np.where(allowed, padded, -1e4), mask, weights["moves"], weights["begin"])

    scale = 1 / len(batch)
    error = (free[1] - tied[1])[mask] * np.float32(scale)
    back = (error @ weights["out"].T) * gate
    gradients = {
        "first": first.T @ back,
        "mean": mean.T @ back,
        "shape": shape.T @ back,
        "bias": back.sum(axis=0),
        "out": hidden.T @ error,
        "out_bias": error.sum(axis=0),
        "moves": (free[2] - tied[2]) * scale + 1e-3 * weights["moves"],
        "begin": (free[3] - tied[3]) * scale + 1e-3 * weights["begin"],
    }
    return (free[0] - tied[0]) * scale, gradients


def train(data: list[Example], epochs: int, seed: int) -> dict[str, Floats]:
    """One head; the result is a running average of its weights over the last epochs."""
    rng = np.random.default_rng(seed)
    weights = start(rng)
    average = {name: value.copy() for name, value in weights.items()}
    adam = Adam(weights)
    total = epochs * (len(data) // BATCH)
    done = 0
    for epoch in range(epochs):
        began = time.perf_counter()
        order = rng.permutation(len(data))
        losses = []
        for at in range(0, len(order) - BATCH + 1, BATCH):
            batch = [data[i] for i in order[at : at + BATCH]]
            loss, gradients = step(weights, batch, rng)
            adam.update(weights, gradients, RATE * (1 - done / total))
            done += 1
            blend = max(0.002, 1 / done)
            for name, value in average.items():
                value += np.float32(blend) * (weights[name] - value)
            losses.append(loss)
        took = time.perf_counter() - began
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.3f} ({took:.0f} s)", flush=True)
    return average


def held_out_f1(head: Head, data: list[Example], casing: int) -> tuple[float, float]:
    """Micro F1 over exact word spans, typed and untyped.

    A word whose annotation is open counts as outside, so labels a corpus does not annotate count
    as wrong: good for comparing heads, too low as a score.
    """
    right = bare = total = 0
    for each in data:
        projected = each.first @ head.first + each.mean @ head.mean
        tags = best_tags(head, head.scores(projected, each.shapes[casing]), [len(each.first)])
        gold = np.where(each.allowed[:, 0], 0, each.allowed.argmax(axis=1)).astype(np.int32)
        wanted, got = set(spans_of(gold)), set(spans_of(tags))
        right += len(wanted & got)
        bare += len({span[:2] for span in wanted} & {span[:2] for span in got})
        total += len(wanted) + len(got)
    return 2 * right / max(total, 1), 2 * bare / max(total, 1)


def bolder(weights: dict[str, Floats], held: list[Example]) -> dict[str, Floats]:
    """The weights with the score of "O" lowered as suits the held-out sentences best."""
    tried = []
    for less in (0.0, 0.2, 0.4, 0.6, 0.8):
        bias = weights["out_bias"].copy()
        bias[0] -= np.float32(less)
        changed = {**weights, "out_bias": bias}
        typed, untyped = held_out_f1(Head(**changed), held, 0)
        print(f"O lowered by {less}: held out F1 {typed:.3f} typed, {untyped:.3f} untyped")
        tried.append((typed + untyped, changed))
    return max(tried, key=lambda each: each[0])[1]


def save(weights: dict[str, Floats], out: Path) -> None:
    """Write the head; matrices as float16."""
    out.parent.mkdir(parents=True, exist_ok=True)
    assert set(weights) == {each.name for each in fields(Head)}
    stored = {n: v.astype(np.float16 if v.ndim == 2 else np.float32) for n, v in weights.items()}
    np.savez_compressed(out, allow_pickle=False, **stored)
    print(f"wrote {out} ({out.stat().st_size / 1024:.0f} KiB)")


def main() -> int:
    """Train and write the weights."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--data", help="folder with wnut17/ and btc/")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    folder = data_folder(arguments.data)
    chance = random.Random(0)
    sentences = [each for file in TRAINING for each in read(folder / file)]
    chance.shuffle(sentences)
    held_out, kept = sentences[: len(sentences) // 10], sentences[len(sentences) // 10 :]
    names = [name.capitalize() for name in FIRST_NAMES.split()]
    prefixed = [each for each in kept if chance.random() < PREFIXED]

    began = time.perf_counter()
    model = MiniLM("fp32", None)
    held = examples(model, held_out, [""] * len(held_out))
    data = examples(model, kept, [""] * len(kept))
    data += examples(model, prefixed, [f"{chance.choice(names)}: " for _ in prefixed])
    print(f"{len(data)} examples in {time.perf_counter() - began:.0f} s", flush=True)
    weights = bolder(train(data, arguments.epochs, arguments.seed), held)
    for number, casing in enumerate(CASINGS):
        typed, untyped = held_out_f1(Head(**weights), held, number)
        print(f"held out, {casing}: F1 {typed:.3f} typed, {untyped:.3f} untyped")
    save(weights, arguments.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
