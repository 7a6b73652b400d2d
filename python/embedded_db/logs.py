"""What happens beside what calls answer, by Python's `logging`, and as JSON for who wants it.

The package logs to ``embedded_db`` and loggers below it, such as ``embedded_db.server``. Without a
handler of the program's nothing is written anywhere. Records name things by words of the library,
by numbers, by names of errors and by paths; stored contents, questions and tokens are in none.
"""

import json
import logging
import math
import sys
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO, get_args

from ._native import logs_flush, logs_level
from .arguments import choice_argument
from .log_records import Told

__all__ = ["JSONFormatter", "LogLevel", "flush", "follow_level", "log_to_json"]

LogLevel = Literal["debug", "info", "warning", "error"]
"""How much a record matters."""

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

logger: Final = logging.getLogger("embedded_db")
# Else Python writes warnings to the standard error, of which nobody has asked for.
logger.addHandler(logging.NullHandler())


class JSONFormatter(logging.Formatter):
    """Makes of each record one line, which is a JSON object.

    It has ``timestamp`` (UTC), ``level``, ``target`` (the logger), ``message``, ``fields`` (an
    object), and ``trace_id`` and ``span_id`` where the record was made within a trace. Of an
    exception only its class is told, for its text may hold what somebody stored.

    Examples:
        >>> import logging
        >>> from embedded_db.logs import JSONFormatter
        >>> record = logging.makeLogRecord({"name": "mine", "levelname": "INFO", "msg": "ready"})
        >>> JSONFormatter().format(record)
        '{"timestamp": "...Z", "level": "info", "target": "mine", "message": "ready", "fields": {}}'
    """

    def format(self, record: logging.LogRecord) -> str:
        r"""Give the line, without its end.

        Args:
            record: what a logger was told.

        Examples:
            >>> import logging
            >>> from embedded_db.logs import JSONFormatter
            >>> odd = logging.makeLogRecord({"msg": "a\nb", "fields": {"number": 1}})
            >>> JSONFormatter().format(odd).partition("message")[2]
            '": "a\\nb", "fields": {"number": 1}}'
        """
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")
        fields: dict[str, Any] = dict(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[0] is not None:
            fields["exception"] = record.exc_info[0].__name__
        told = {
            "timestamp": time.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "target": record.name,
            "message": record.getMessage(),
            "fields": {name: _plain(value) for name, value in fields.items()},
        }
        for name in ("trace_id", "span_id"):
            if (value := getattr(record, name, None)) is not None:
                told[name] = value
        return json.dumps(told)


def _plain(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | None) else str(value)


def log_to_json(
    level: LogLevel = "info", stream: TextIO | None = None
) -> "logging.StreamHandler[TextIO]":
    """Write what the package logs to a stream, a JSON object a line.

    Args:
        level: the least that is written.
        stream: where to; the standard error when left out.

    Returns:
        The handler, for ``logging.getLogger("embedded_db").removeHandler``.

    Raises:
        InvalidInput: the level is none of the four.

    Examples:
        >>> import io, logging
        >>> from embedded_db import EmbeddedDB
        >>> from embedded_db.logs import flush, log_to_json
        >>> lines = io.StringIO()
        >>> handler = log_to_json("info", lines)
        >>> EmbeddedDB(":memory:", ml=None).close()
        >>> flush()
        True
        >>> logging.getLogger("embedded_db").removeHandler(handler)
        >>> '"message": "opened"' in lines.getvalue()
        True
    """
    choice_argument("level", level, get_args(LogLevel))
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(JSONFormatter())
    handler.setLevel(LEVELS[level])
    logger.addHandler(handler)
    if logger.level == logging.NOTSET or logger.level > LEVELS[level]:
        logger.setLevel(LEVELS[level])
    follow_level()
    return handler


def show_warnings() -> None:
    """Write the warnings of Python's part to the standard error, unless a handler takes them."""
    if all(isinstance(handler, logging.NullHandler) for handler in logger.handlers):
        handler = logging.StreamHandler()
        handler.setLevel(logging.WARNING)
        # Those of native code say what they have to say in their fields.
        handler.addFilter(lambda record: not hasattr(record, "fields"))
        logger.addHandler(handler)


def follow_level() -> None:
    """Have native code make records from the level of the logger ``embedded_db`` on.

    This is done whenever a database is opened; call it after setting another level later.

    Examples:
        >>> import logging
        >>> from embedded_db.logs import follow_level
        >>> logger = logging.getLogger("embedded_db")
        >>> logger.setLevel("ERROR")
        >>> follow_level()  # nothing less than errors is made from now on
        >>> logger.setLevel("NOTSET")
        >>> follow_level()
        >>> logger.getEffectiveLevel() == logging.getLogger().level
        True
    """
    wanted = logger.getEffectiveLevel()
    enough = (name for name, level in LEVELS.items() if level >= wanted)
    logs_level(next(enough, None))


def flush(timeout: float = 5.0) -> bool:
    """Wait until what native code has logged is with the handlers: they get it a moment later.

    Args:
        timeout: seconds to wait at most.

    Returns:
        Whether all of it is.

    Examples:
        >>> from embedded_db.logs import flush
        >>> flush(timeout=5.0)
        True
    """
    return logs_flush(timeout)


def deliver(records: list[Told], lost: int) -> None:
    """Give records of native code to the loggers; ``lost`` more found no room."""
    for time, level, part, message, fields, span in records:
        target = logging.getLogger(f"embedded_db.{part}")
        if not target.isEnabledFor(LEVELS[level]):
            continue
        record = target.makeRecord(target.name, LEVELS[level], "", 0, message, (), None)
        record.created, record.msecs = time, time % 1 * 1000
        record.fields = fields
        if span is not None:
            record.trace_id, record.span_id = span
        target.handle(record)
    if lost:
        logger.warning("%d records found no room", lost)
