"""What a database may do and take, as one object: `Policy`, also from a TOML file."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from os import PathLike
from typing import TYPE_CHECKING, Any, Final, Literal

from .arguments import choice_argument
from .errors import InvalidInput, nearest, shown
from .limits import Limit, checked_limits
from .quotas import Quota
from .toml_files import read_toml, without_none
from .tracing import Sampling

if TYPE_CHECKING:
    from .config import SummarySpan

__all__ = ["Enrichment", "Policy"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Enrichment:
    """What the weaver may do by itself; None leaves it to `WeaverConfig`.

    Attributes:
        topics: whether topics are made.
        curiosity: whether ties are proposed between similar nodes.
        curiosity_threshold: the least cosine similarity of two nodes that are tied so.
        summary_span: ``"week"``, ``"day"`` or ``"none"``: of which times a chat has summaries
            beside that of all of it.

    Raises:
        InvalidInput: a value is of the wrong type or out of range.

    Examples:
        >>> from embedded_db import Enrichment
        >>> Enrichment(curiosity=False).topics is None
        True
    """

    topics: bool | None = None
    curiosity: bool | None = None
    curiosity_threshold: float | None = None
    summary_span: 'SummarySpan | Literal["none"] | None' = None

    def __post_init__(self) -> None:
        for name in ("topics", "curiosity"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, bool):
                raise InvalidInput(
                    f"enrichment.{name} is {shown(value)}", hint="Give True or False"
                )
        threshold = self.curiosity_threshold
        if threshold is not None and (
            type(threshold) not in {int, float} or not -1 <= threshold <= 1
        ):
            raise InvalidInput(
                f"enrichment.curiosity_threshold is {shown(threshold)}",
                hint="Give a cosine similarity, a number from -1 to 1",
            )
        if self.summary_span is not None:
            choice_argument("enrichment.summary_span", self.summary_span, ("day", "week", "none"))

    def _said(self) -> dict[str, Any]:
        """Give what it says, by the names of `WeaverConfig`."""
        out = {option.name: getattr(self, option.name) for option in fields(self)}
        out = {name: value for name, value in out.items() if value is not None}
        if out.get("summary_span") == "none":
            out["summary_span"] = None
        return out


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What a database may do and take. What is None is left to the other options of `Config`.

    Each part stands for one that `Config` has, too: ``quota`` and ``sampling`` for those of the
    same name, ``enrichment`` for options of ``weaver``, ``limits`` for those of ``ml``. Where a
    policy and these options both say something, and not the same, that is `InvalidInput`.

    Attributes:
        quota: how much may be stored.
        sampling: which traces are kept.
        enrichment: what the weaver may do by itself.
        limits: what each model function may be given and cost: a `Limit` by ``"embedding"``,
            ``"entities"`` or ``"summary"``.

    Raises:
        InvalidInput: a part is unknown or wrong.

    Examples:
        >>> from embedded_db import EmbeddedDB, Enrichment, Policy, Quota
        >>> policy = Policy(quota=Quota(max_nodes=1000), enrichment=Enrichment(topics=False))
        >>> with EmbeddedDB(":memory:", ml=None, policy=policy) as scratch:
        ...     scratch.config.quota.max_nodes, scratch.config.weaver.topics
        (1000, False)
    """

    quota: Quota | None = None
    sampling: Sampling | None = None
    enrichment: Enrichment | None = None
    limits: Mapping[str, Limit] | None = None

    def __post_init__(self) -> None:
        for name, kind in _PARTS.items():
            part = getattr(self, name)
            if isinstance(part, Mapping):
                object.__setattr__(self, name, _made(name, kind, part))
            elif part is not None and not isinstance(part, kind):
                raise InvalidInput(
                    f"policy.{name} is {shown(part)}", hint=f"Give {kind.__name__}(…), or a dict"
                )
        if self.limits is not None:
            object.__setattr__(self, "limits", checked_limits(self.limits))

    @classmethod
    def from_dict(cls, parts: Mapping[str, Any]) -> "Policy":
        """Make a policy from plain values.

        Args:
            parts: ``quota``, ``sampling``, ``enrichment`` and ``limits``, each a dict.

        Raises:
            InvalidInput: an unknown name (the nearest known one is named), or a wrong value.

        Examples:
            >>> from embedded_db import Policy
            >>> Policy.from_dict({"sampling": {"norml": 0.5}})
            Traceback (most recent call last):
            ...
            embedded_db.errors.InvalidInput: policy.sampling has no option 'norml'. Did you mean ...
        """
        _check_known("a policy", parts, [part.name for part in fields(cls)])
        return cls(**parts)

    @classmethod
    def from_toml(cls, path: str | PathLike[str]) -> "Policy":
        r"""Read a TOML file: ``[quota]``, ``[sampling]``, ``[enrichment]``, ``[limits.FUNCTION]``.

        Args:
            path: the file. A limit of ``[quota]`` that is ``"none"`` is none.

        Raises:
            InvalidInput: the file cannot be read, is not TOML, or has an unknown name or wrong
                value.

        Examples:
            >>> from pathlib import Path
            >>> from embedded_db import Policy
            >>> _ = Path("policy.toml").write_text("[quota]\nmax_nodes = 1000")
            >>> Policy.from_toml("policy.toml").quota.max_nodes
            1000
        """
        parts = read_toml("the policy", path)
        return cls.from_dict(without_none(parts, "quota"))


_PARTS: Final[dict[str, type]] = {"quota": Quota, "sampling": Sampling, "enrichment": Enrichment}


def _made(name: str, kind: type, options: Mapping[str, Any]) -> object:
    _check_known(f"policy.{name}", options, [option.name for option in fields(kind)])
    return kind(**options)


def _check_known(what: str, given: Mapping[str, Any], known: list[str]) -> None:
    for name in given:
        if name not in known:
            raise InvalidInput(
                f"{what} has no option {shown(name)}", hint=nearest(str(name), known)
            )
