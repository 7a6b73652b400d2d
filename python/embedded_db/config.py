"""What the database is told once, at opening."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from os import PathLike
from typing import Any, Final, Literal, Protocol, TypedDict, get_args

import numpy as np
import numpy.typing as npt

from .arguments import choice_argument
from .errors import InvalidInput, nearest, shown
from .limits import to_native
from .ml_config import MLConfig
from .policy import Policy
from .quotas import Quota
from .toml_files import read_toml, without_none
from .tracing import Sampling, Tracing, from_options

__all__ = [
    "ActivityLevel",
    "Config",
    "ConfigOptions",
    "Durability",
    "Language",
    "ModelFunctions",
    "WeaverConfig",
]


Durability = Literal["durable", "relaxed", "memory"]
"""When a write is acknowledged: after the disk has it, or at once (for tests)."""

ActivityLevel = Literal["Auto", "HighActivity", "Normal", "LowActivity", "SleepMode"]
"""How much of the machine the weaver may take, most careful first after ``"Auto"``."""

SummarySpan = Literal["day", "week"]
"""A time that a summary is of: a day of UTC, or Monday to Sunday."""

Language = Literal["english", "none"]
"""Stemming of the full-text index."""


class ModelFunctions(Protocol):
    """The functions the database asks of models: values in, values out, from any thread.

    `embedded_db.ml.Functions` is the usual one, `embedded_db.testing.FakeModel` one for tests.
    """

    def embedding_info(self) -> dict[str, Any]:
        """Give ``model``, ``provider``, ``precision``, ``dim`` and ``metric`` of the vectors."""
        ...

    def warm_up(self) -> None:
        """Load what has to be loaded."""
        ...

    def health(self) -> dict[str, Any]:
        """Give the state of each function, without loading anything."""
        ...

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Give one vector a text, float32[n, dim]."""
        ...

    def enrich(
        self,
        texts: Sequence[str],
        starts: Sequence[int],
        want_vectors: Sequence[bool],
        want_entities: Sequence[bool],
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32], list[list[Any]]]:
        """Give vectors float32[m, dim], the text int32[m] of each row, entities of each text."""
        ...

    def summarize(
        self, messages: Sequence[str], vectors: npt.NDArray[np.float32] | None = None
    ) -> str:
        """Give a summary of a chat; ``vectors`` float32[n, dim] are its messages', if known."""
        ...


class ConfigOptions(TypedDict, total=False):
    """The options of `Config` as keyword arguments of `EmbeddedDB`."""

    durability: Durability
    relaxed_window_ms: float
    lock_timeout: float
    shared: bool
    map_size_max: int
    max_snapshot_age: float
    max_snapshot_growth: int
    changes_retention: float
    changes_retention_bytes: int
    recall_memory: int
    recall_half_life: float | None
    warm_up: bool
    language: Language
    ml: "MLConfig | ModelFunctions | Mapping[str, Any] | None"
    previous_ml: "MLConfig | ModelFunctions | Mapping[str, Any] | None"
    weaver: "WeaverConfig | Mapping[str, Any]"
    embedding_space: str | None
    quota: "Quota | Mapping[str, Any]"
    metrics: bool
    blackbox: bool
    tracing: "Tracing | Mapping[str, Any] | None"
    sampling: "Sampling | Mapping[str, Any]"
    policy: "Policy | Mapping[str, Any] | None"


@dataclass(frozen=True, kw_only=True, slots=True)
class WeaverConfig:
    """How the weaver, the worker that enriches in the background, does its work.

    Attributes:
        batch_size: most texts handed to a model function in one call.
        max_attempts: calls before a failing job is given up and kept as a dead letter.
        first_delay: seconds before the second attempt; doubled for each further one.
        max_delay: seconds at most between two attempts.
        activity_level: level at opening; see `EmbeddedDB.set_activity_level`.
        topics: whether topics are made, in SleepMode.
        curiosity: whether ties are proposed in SleepMode between similar nodes that have few:
            ``RELATED_TO`` edges with a ``confidence``; `Weaver.withdraw_proposals` takes them
            back.
        curiosity_threshold: the least cosine similarity of two nodes that are tied so.
        summary_span: ``"week"`` or ``"day"``: a chat that goes on for more than one has a summary
            of each, beside that of all of it. None: it has not. Those of another span than this go
            when the chat is next summarised.

    Examples:
        >>> from embedded_db import Config, WeaverConfig
        >>> Config(weaver=WeaverConfig(max_attempts=3)).weaver.max_attempts
        3
    """

    batch_size: int = 64
    max_attempts: int = 5
    first_delay: float = 0.5
    max_delay: float = 60.0
    activity_level: ActivityLevel = "Auto"
    topics: bool = True
    curiosity: bool = True
    curiosity_threshold: float = 0.6
    summary_span: SummarySpan | None = "week"

    def __post_init__(self) -> None:
        _whole("weaver.batch_size", self.batch_size, least=1, most=4096)
        _whole("weaver.max_attempts", self.max_attempts, least=1, most=1000)
        _seconds("weaver.first_delay", self.first_delay)
        _seconds("weaver.max_delay", self.max_delay)
        if self.max_delay < self.first_delay:
            raise InvalidInput(
                f"weaver.max_delay is {self.max_delay!r}, less than first_delay "
                f"{self.first_delay!r}",
                hint="Raise max_delay or lower first_delay",
            )
        _kind("weaver.topics", self.topics, bool)
        _kind("weaver.curiosity", self.curiosity, bool)
        threshold = self.curiosity_threshold
        if type(threshold) not in {int, float} or not -1 <= threshold <= 1:
            raise InvalidInput(
                f"weaver.curiosity_threshold is {shown(threshold)}",
                hint="Give a cosine similarity, a number from -1 to 1",
            )
        if self.summary_span is not None:
            choice_argument("weaver.summary_span", self.summary_span, get_args(SummarySpan))
        choice_argument("weaver.activity_level", self.activity_level, get_args(ActivityLevel))

    def _to_native(self) -> dict[str, Any]:
        """Give the options in the form the native module takes."""
        return {option.name: getattr(self, option.name) for option in fields(self)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Everything that is set at opening. Two handles on one path have to agree on it.

    Attributes:
        durability: ``"durable"``: a write is acknowledged after the disk has it;
            ``"relaxed"``: when the operating system has it, so that the end of the process loses
            nothing, a power cut at most what came in the last ``relaxed_window_ms`` and while the
            disk was syncing, 1,000 commits in all;
            ``"memory"``: at once, for tests and data that may be lost.
        relaxed_window_ms: milliseconds after which an acknowledged write is being synced, with
            ``durability="relaxed"``.
        lock_timeout: seconds to wait for another process that is writing.
        shared: write although another process does: whichever came first writes for all that are
            open with ``shared=True``, and when it ends another one does.
        map_size_max: bytes of address space the store may take at most.
        max_snapshot_age: seconds a snapshot may be held before it expires.
        max_snapshot_growth: bytes by which the file may grow while a snapshot is held, before that
            expires: what it sees is kept, beside all that is written meanwhile.
        changes_retention: seconds that `EmbeddedDB.changes` reaches back, unless that takes more
            room than ``changes_retention_bytes``.
        changes_retention_bytes: bytes on the disk that the changes may take.
        recall_memory: bytes of memory that edges may take over which `EmbeddedDB.recall` spreads
            activation: about 40 for each edge of the namespaces lately asked.
        recall_half_life: seconds after which what recall has added to an edge is worth half as
            much; None keeps it for ever.
        warm_up: load the models in the background when the database is opened.
        language: stemming of the full-text index.
        ml: the model functions: an `MLConfig`, an object with the functions themselves (such as
            `embedded_db.testing.FakeModel`), or None to enrich nothing. A database whose vectors
            another embedding model made is embedded again in the background.
        previous_ml: the model functions of before, as in ``ml``. Until the new model's vectors are
            all there, texts of queries, and new texts, are embedded with it; without it such
            queries raise ``ModelUnavailable`` until then.
        weaver: how the background worker does its work.
        embedding_space: the space that vectors are read from, searched in and set in when a
            call names none; None means the space of the embedding model.
        quota: how much may be stored, in the database and in each namespace.
        metrics: whether calls are counted and timed, for `EmbeddedDB.metrics` and
            `EmbeddedDB.stats`.
        blackbox: whether a writer keeps the last events in a file, for `EmbeddedDB.blackbox`.
        tracing: where traces are sent; None makes none.
        sampling: which of them are kept.
        policy: what the database may do and take, in one object: it sets ``quota``, ``sampling``,
            and options of ``weaver`` and ``ml``. What both it and these say has to be the same.

    Raises:
        InvalidInput: a value is of the wrong type or out of range.

    Examples:
        >>> from embedded_db import Config, EmbeddedDB
        >>> config = Config(durability="memory", ml=None, max_snapshot_age=60)
        >>> with EmbeddedDB(":memory:", config=config) as scratch:
        ...     scratch.config.max_snapshot_age
        60
    """

    durability: Durability = "durable"
    relaxed_window_ms: float = 10.0
    lock_timeout: float = 5.0
    shared: bool = False
    map_size_max: int = 1 << 40
    max_snapshot_age: float = 300.0
    max_snapshot_growth: int = 4 << 30
    changes_retention: float = 7 * 86400.0
    changes_retention_bytes: int = 64 << 20
    recall_memory: int = 256 << 20
    recall_half_life: float | None = 30 * 86400.0
    warm_up: bool = True
    language: Language = "english"
    ml: "MLConfig | ModelFunctions | None" = field(default_factory=MLConfig)
    previous_ml: "MLConfig | ModelFunctions | None" = None
    weaver: WeaverConfig = field(default_factory=WeaverConfig)
    embedding_space: str | None = None
    quota: Quota = field(default_factory=Quota)
    metrics: bool = True
    blackbox: bool = True
    tracing: Tracing | None = None
    sampling: Sampling = field(default_factory=Sampling)
    policy: Policy | None = None

    def __post_init__(self) -> None:
        if self.policy is not None:
            _kind("policy", self.policy, Policy)
            for name, value in _under(self, self.policy).items():
                object.__setattr__(self, name, value)
        choice_argument("durability", self.durability, get_args(Durability))
        _seconds("relaxed_window_ms", self.relaxed_window_ms)
        _seconds("lock_timeout", self.lock_timeout)
        _kind("shared", self.shared, bool)
        _whole("map_size_max", self.map_size_max, least=1 << 20, most=1 << 46)
        _seconds("max_snapshot_age", self.max_snapshot_age)
        _whole("max_snapshot_growth", self.max_snapshot_growth, least=1 << 20, most=1 << 46)
        _seconds("changes_retention", self.changes_retention)
        _whole("changes_retention_bytes", self.changes_retention_bytes, least=1 << 16, most=1 << 46)
        _whole("recall_memory", self.recall_memory, least=1 << 20, most=1 << 46)
        if self.recall_half_life is not None:
            _seconds("recall_half_life", self.recall_half_life)
            if self.recall_half_life == 0:
                raise InvalidInput(
                    "recall_half_life is 0", hint="Give seconds over 0, or None for ever"
                )
        _kind("warm_up", self.warm_up, bool)
        _kind("quota", self.quota, Quota)
        _kind("metrics", self.metrics, bool)
        _kind("blackbox", self.blackbox, bool)
        _kind("sampling", self.sampling, Sampling)
        if self.tracing is not None:
            _kind("tracing", self.tracing, Tracing)
        choice_argument("language", self.language, get_args(Language))
        _optional_name("embedding_space", self.embedding_space)
        _kind("weaver", self.weaver, WeaverConfig)
        _check_ml("ml", self.ml)
        _check_ml("previous_ml", self.previous_ml)
        if self.ml is None and self.previous_ml is not None:
            raise InvalidInput(
                "previous_ml is given, and ml is None",
                hint="Give the model that is used as ml; previous_ml is the one of before",
            )

    @classmethod
    def from_dict(cls, options: Mapping[str, Any]) -> "Config":
        """Make a configuration from plain values; ``weaver``, ``quota`` and models may be dicts.

        Args:
            options: values by name. Names left out keep their defaults.

        Raises:
            InvalidInput: an unknown name (the nearest known one is named), or a wrong value.

        Examples:
            >>> Config.from_dict({"lock_timeout": 1.0, "ml": {"embedding": "hashing"}}).ml.embedding
            'hashing'
            >>> Config.from_dict({"lock_timout": 1.0})
            Traceback (most recent call last):
            ...
            embedded_db.errors.InvalidInput: there is no option 'lock_timout'. Did you mean ...
        """
        return cls().with_options(options)

    @classmethod
    def from_file(cls, path: str | PathLike[str]) -> "Config":
        """Read a TOML file; ``[weaver]``, ``[quota]``, ``[ml]`` and ``[previous_ml]`` are tables.

        Args:
            path: the file. ``ml = "none"`` in it enriches nothing; a limit of ``[quota]`` that is
                ``"none"`` is none.

        Raises:
            InvalidInput: the file cannot be read, is not TOML, or has an unknown name or wrong
                value.

        Examples:
            >>> from pathlib import Path
            >>> _ = Path("settings.toml").write_text("lock_timeout = 1.0")
            >>> Config.from_file("settings.toml").lock_timeout
            1.0
        """
        options = read_toml("the configuration", path)
        if options.get("ml") == "none":
            options["ml"] = None
        return cls.from_dict(without_none(options, "quota"))

    def with_options(self, options: Mapping[str, Any]) -> "Config":
        """Give a copy with some options replaced.

        Args:
            options: values by name, as in `from_dict`. A dict for ``weaver``, ``quota``, ``ml`` or
                ``previous_ml`` changes the options that it names and keeps the others.

        Raises:
            InvalidInput: an unknown name (the nearest known one is named), or a wrong value.

        Examples:
            >>> Config(lock_timeout=1.0).with_options({"durability": "memory"}).lock_timeout
            1.0
        """
        _known("option", options, [option.name for option in fields(self)])
        values = dict(options)
        if isinstance(values.get("policy"), Mapping):
            values["policy"] = Policy.from_dict(values["policy"])
        for name, kind in (("sampling", Sampling), ("tracing", Tracing)):
            given = values.get(name)
            if isinstance(given, Mapping):
                values[name] = from_options(kind, name, given, getattr(self, name))
        weaver = values.get("weaver")
        if isinstance(weaver, Mapping):
            _known("weaver option", weaver, [option.name for option in fields(WeaverConfig)])
            values["weaver"] = replace(self.weaver, **weaver)
        quota = values.get("quota")
        if isinstance(quota, Mapping):
            _known("quota option", quota, [option.name for option in fields(Quota)])
            values["quota"] = replace(self.quota, **quota)
        for name in ("ml", "previous_ml"):
            if isinstance(values.get(name), Mapping):
                values[name] = _ml_with(getattr(self, name), values[name])
        return replace(self, **values)

    def _to_native(self, *, read_only: bool) -> dict[str, Any]:
        """Give the options in the form the native module takes.

        Args:
            read_only: whether the handle may write.
        """
        return {
            "read_only": read_only,
            "durability": self.durability,
            "relaxed_window_ms": float(self.relaxed_window_ms),
            "lock_timeout": float(self.lock_timeout),
            "shared": self.shared,
            "map_size_max": self.map_size_max,
            "max_snapshot_age": float(self.max_snapshot_age),
            "max_snapshot_growth": self.max_snapshot_growth,
            "changes_retention": float(self.changes_retention),
            "changes_retention_bytes": self.changes_retention_bytes,
            "recall_memory": self.recall_memory,
            "recall_half_life": None
            if self.recall_half_life is None
            else float(self.recall_half_life),
            "warm_up": self.warm_up,
            "language": self.language,
            "quota": self.quota._to_native(),
            "metrics": self.metrics,
            "blackbox": self.blackbox,
            "tracing": None if self.tracing is None else self.tracing._to_native(self.sampling),
            "weaver": self.weaver._to_native(),
            "limits": _limits(self.ml),
            "previous_limits": _limits(self.previous_ml),
        }

    def _functions(self) -> "tuple[ModelFunctions | None, ModelFunctions | None]":
        """Give the model functions this configuration asks for, and those of before.

        Raises:
            ModelUnavailable: a provider is named whose package is not installed.
        """
        return _loaded(self.ml), _loaded(self.previous_ml)


def _limits(ml: "MLConfig | ModelFunctions | None") -> dict[str, Any]:
    return to_native(ml.limits) if isinstance(ml, MLConfig) else {}


def _under(config: Config, policy: Policy) -> dict[str, Any]:
    """Give the options of a configuration as a policy has them.

    Raises:
        InvalidInput: both say something, and not the same.
    """
    out: dict[str, Any] = {}
    if policy.quota is not None:
        out["quota"] = _agreed("quota", config.quota, Quota(), policy.quota)
    if policy.sampling is not None:
        out["sampling"] = _agreed("sampling", config.sampling, Sampling(), policy.sampling)
    if policy.enrichment is not None:
        usual, weaver = WeaverConfig(), config.weaver
        said = {
            name: _agreed(f"weaver.{name}", getattr(weaver, name), getattr(usual, name), value)
            for name, value in policy.enrichment._said().items()
        }
        out["weaver"] = replace(weaver, **said)
    if policy.limits and config.ml is not None:
        if not isinstance(config.ml, MLConfig):
            raise InvalidInput(
                "the policy has limits of model functions, and ml is an object of its own",
                hint="Give an MLConfig as ml, or no limits",
            )
        limits = _agreed("ml.limits", dict(config.ml.limits), {}, dict(policy.limits))
        out["ml"] = replace(config.ml, limits=limits)
    return out


def _agreed(name: str, own: object, usual: object, said: object) -> Any:
    if own not in (usual, said):
        raise InvalidInput(
            f"{name} is {shown(own)}, and the policy says {shown(said)}",
            hint=f"Say it in one place: in the policy, or as {name}",
        )
    return said


def _loaded(ml: "MLConfig | ModelFunctions | None") -> "ModelFunctions | None":
    if isinstance(ml, MLConfig) and ml.isolation == "process":
        from .ml.isolation import IsolatedFunctions

        return IsolatedFunctions(ml)
    if isinstance(ml, MLConfig):
        from .ml.timed import TimedFunctions

        return TimedFunctions(ml)
    return ml


FUNCTION_NAMES: Final = ("embedding_info", "warm_up", "health", "embed", "enrich", "summarize")
"""The methods of `ModelFunctions`."""


def _check_ml(name: str, ml: object) -> None:
    if ml is None:
        return
    if isinstance(ml, MLConfig):
        return
    missing = [each for each in FUNCTION_NAMES if not callable(getattr(ml, each, None))]
    if missing:
        raise InvalidInput(
            f"{name} is {shown(ml)}, which has no {', '.join(missing)}",
            hint="Give an MLConfig, an object with the model functions, or None",
        )


def _ml_with(ml: object, options: Mapping[str, Any]) -> "MLConfig":
    """Give the model configuration ``ml`` with some options replaced; of none, a new one."""
    _known("ml option", options, [option.name for option in fields(MLConfig)])
    return replace(ml if isinstance(ml, MLConfig) else MLConfig(), **options)


def _known(what: str, given: Mapping[str, Any], known: list[str]) -> None:
    for name in given:
        if name not in known:
            raise InvalidInput(f"there is no {what} {name!r}", hint=nearest(name, known))


def _wrong(name: str, value: object, expected: str) -> InvalidInput:
    return InvalidInput(f"{name} is {shown(value)}", hint=f"It has to be {expected}")


def _whole(name: str, value: object, *, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise _wrong(name, value, f"a whole number from {least} to {most}")


def _kind(name: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        raise _wrong(name, value, f"a {kind.__name__}")


def _optional_name(name: str, value: object) -> None:
    if value is not None and (not isinstance(value, str) or not value):
        raise _wrong(name, value, "a name, or None")


def _seconds(name: str, value: object) -> None:
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or not math.isfinite(value)
        or value < 0
    ):
        raise _wrong(name, value, "a number of seconds, 0 or more")
