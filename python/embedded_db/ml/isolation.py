"""Model functions in a process of their own, which may crash or hang without harm.

The process is begun with the first call, by the interpreter that runs here, and again whenever it
has ended. It runs several calls at once. What stands in `__main__` of the program is not run again
there: functions come from their modules.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import replace
from queue import SimpleQueue
from typing import IO, Any, Final, NoReturn, cast

import numpy as np
import numpy.typing as npt

from embedded_db.errors import InvalidInput, ModelUnavailable
from embedded_db.ml.entities import EntityDict
from embedded_db.ml.providers import Functions
from embedded_db.ml.threads import begun
from embedded_db.ml.time_limits import ModelTimeout, of_beginning, of_call
from embedded_db.ml_config import MLConfig

__all__ = ["IsolatedFunctions", "ModelCrashed"]

# The path first: the package itself may be found by it alone. Where it cannot be imported, that is
# the answer to what is asked first.
BEGIN: Final = """
import os, pickle, sys
calls = os.fdopen(os.dup(0), "rb")
try:
    sys.path[:] = pickle.load(calls)
    from embedded_db.ml.isolated import main
except BaseException as error:
    try:
        os.write(1, pickle.dumps((0, False, (type(error).__name__, str(error), None, ""))))
    finally:
        os._exit(1)
main(calls)
"""

REMEDY: Final = "Mend the cause; the work waits, and goes on by itself"


class ModelCrashed(Exception):
    """The process of the models ended while a function worked."""


class _AnotherHung(Exception):
    """The process was ended for what another call did."""


class IsolatedFunctions:
    """The functions of a configuration, run in another process.

    Args:
        config: which model does what. Functions of the user's have to be found by their names in
            their modules.

    Raises:
        InvalidInput: a function cannot be handed to another process.

    Examples:
        >>> from embedded_db.ml.isolation import IsolatedFunctions
        >>> isolated = IsolatedFunctions(MLConfig(embedding="hashing", entities=None))
        >>> isolated.embed(["red wine"]).shape
        (1, 384)
        >>> isolated.close()
    """

    def __init__(self, config: MLConfig) -> None:
        self.config = config
        inside = replace(config, isolation="none")
        self._sent = _pickled(inside)
        self._timeout = of_call(config)
        self._beginning = of_beginning(config)
        # It loads nothing, and tells what is known without loading.
        self._known = Functions(inside)
        self._lock = threading.Lock()
        self._process: _Process | None = None
        self._endings = 0

    # --- state ---

    def switched_off(self) -> list[str]:
        """See `Functions.switched_off`."""
        return self._known.switched_off()

    def embedding_info(self) -> dict[str, Any]:
        """See `Functions.embedding_info`."""
        return self._known.embedding_info()

    def health(self) -> dict[str, Any]:
        """See `Functions.health`; of the process, if there is one that answers."""
        with self._lock:
            process = self._process
        if process is not None and process.is_ours:
            with contextlib.suppress(Exception):
                return cast("dict[str, Any]", process.begin("health", ()).result(timeout=1))
        return self._known.health()

    def close(self) -> None:
        """End the process; a later call begins another one. Calls that run fail as unavailable."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None and process.is_ours:
            process.end(_closed())

    @contextlib.contextmanager
    def ending(self) -> Iterator[None]:
        """End the process, and begin none for the time of the context: calls are unavailable."""
        with self._lock:
            self._endings += 1
        try:
            self.close()
            yield
        finally:
            with self._lock:
                self._endings -= 1

    # --- work ---

    def warm_up(self) -> None:
        """See `Functions.warm_up`. It may take as long as the process may take to begin.

        Raises:
            ModelUnavailable: also when it takes longer; the process is ended.
        """
        while True:
            process = self._running()
            answer = process.begin("warm_up", ())
            if not wait((answer,), timeout=self._beginning).done:
                process.end(
                    ModelUnavailable(
                        f"The models were not loaded within {self._beginning} s",
                        hint="Give MLConfig(timeout=…) more; the work loads them when it is done",
                    )
                )
            with contextlib.suppress(_AnotherHung):
                answer.result()
                return

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """See `Functions.embed`."""
        try:
            return cast("npt.NDArray[np.float32]", self._call("embed", list(texts)))
        except ModelCrashed:
            # It may have been what the weaver asked at the same time.
            return cast("npt.NDArray[np.float32]", self._call("embed", list(texts)))

    def enrich(
        self,
        texts: Sequence[str],
        starts: Sequence[int],
        want_vectors: Sequence[bool],
        want_entities: Sequence[bool],
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32], list[list[EntityDict]]]:
        """See `Functions.enrich`."""
        given = (list(texts), list(starts), list(want_vectors), list(want_entities))
        answer: Any = self._call("enrich", *given)
        vectors, owner, entities = answer
        return vectors, owner, entities

    def extract_entities(self, text: str) -> list[EntityDict]:
        """See `Functions.extract_entities`."""
        return cast("list[EntityDict]", self._call("extract_entities", text))

    def summarize(
        self, messages: Sequence[str], vectors: npt.NDArray[np.float32] | None = None
    ) -> str:
        """See `Functions.summarize`."""
        return cast("str", self._call("summarize", list(messages), vectors))

    def _call(self, method: str, *arguments: object) -> object:
        while True:
            process = self._running()
            answer = process.begin(method, arguments)
            try:
                return answer.result(timeout=self._timeout)
            except _AnotherHung:
                continue
            except TimeoutError:
                if answer.done():
                    raise  # by the function itself
                self._hangs(process, method, answer)

    def _hangs(self, process: _Process, method: str, answer: Future[object]) -> NoReturn:
        message = f"{method} has not answered within {self._timeout} s; its process was ended"
        # It fails for a reason of its own.
        answer.cancel()
        process.end(_AnotherHung())
        raise ModelTimeout(message)

    def _running(self) -> _Process:
        """A process that can be asked."""
        with self._lock:
            if self._endings > 0:
                raise _closed()
            process = self._process
            if process is None or not process.is_ours or process.ended:
                process = self._process = _Process(self._sent)
        if not wait((process.started,), timeout=self._beginning).done:
            process.end(
                ModelUnavailable(
                    f"The process of the models did not begin within {self._beginning} s, and was "
                    "ended",
                    hint="See what it imports and loads; the work waits, and is tried again",
                )
            )
        process.started.result()
        return process


def _closed() -> ModelUnavailable:
    return ModelUnavailable(
        "The process of the models was closed", hint="The work is done when it is there again"
    )


def _pickled(config: MLConfig) -> bytes:
    remedy = (
        "Functions that run in another process are found by their names: define them at the top of "
        "a module that can be imported, not in the program itself, and no lambdas"
    )
    for name in ("embedding", "entities", "summary"):
        function = getattr(config, name)
        if not callable(function):
            continue
        module = getattr(function, "__module__", type(function).__module__)
        try:
            pickle.dumps(function)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise InvalidInput(
                f"{name} cannot be handed to another process ({error})", hint=remedy
            ) from error
        if module == "__main__":
            raise InvalidInput(f"{name} is a function of __main__", hint=remedy)
    return pickle.dumps(config)


class _Process:
    """A process that answers; threads of its own write to it and read from it."""

    def __init__(self, config: bytes) -> None:
        if not sys.executable:
            raise ModelUnavailable(
                "There is no interpreter to begin a process with",
                hint='Set sys.executable, or use isolation="none"',
            )
        self._owner = os.getpid()
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-c", BEGIN],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise _unbegun(str(error)) from error
        self._lock = threading.Lock()
        self._killing = threading.Lock()
        # What it tells first, when it can be asked.
        self.started: Future[object] = Future()
        self._waiting: dict[int, Future[object]] = {0: self.started}
        self._last = 0
        self._why: Exception | None = None
        self._to_send: SimpleQueue[bytes | None] = SimpleQueue()
        self._to_send.put(pickle.dumps(sys.path) + config)
        try:
            for work in (self._write, self._read):
                begun(work, "embedded-db model process")
        except ModelUnavailable as error:
            self.end(error)
            raise

    @property
    def is_ours(self) -> bool:
        """Not so in a fork of the process that began it."""
        return os.getpid() == self._owner

    @property
    def ended(self) -> bool:
        """Whether it takes no more calls."""
        return self._why is not None

    def begin(self, method: str, arguments: tuple[object, ...]) -> Future[object]:
        """Ask for something; the answer comes with the future."""
        answer: Future[object] = Future()
        with self._lock:
            if self._why is not None:
                answer.set_exception(self._why)
                return answer
            self._last += 1
            self._waiting[self._last] = answer
            self._to_send.put(pickle.dumps((self._last, method, arguments)))
        return answer

    def end(self, why: Exception) -> None:
        """Kill it; whoever waits for an answer is told why."""
        with self._lock:
            first = self._why is None
            if first:
                self._why = why
            waiting, self._waiting = self._waiting, {}
        self._to_send.put(None)
        self._killed()
        for answer in waiting.values():
            if answer.set_running_or_notify_cancel():
                answer.set_exception(why)

    def _killed(self) -> int:
        """Kill it with what functions have begun there, where it has not ended; how it ended."""
        with self._killing:
            # Once somebody has waited for it, its number may be that of others.
            if self._child.returncode is None:
                if sys.platform == "win32":
                    self._child.kill()
                else:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.killpg(self._child.pid, signal.SIGKILL)
            return self._child.wait()

    def _write(self) -> None:
        pipe = cast("IO[bytes]", self._child.stdin)
        # Its end is seen by who reads.
        with contextlib.suppress(OSError), pipe:
            while (message := self._to_send.get()) is not None:
                pipe.write(message)
                pipe.flush()

    def _read(self) -> None:
        pipe = cast("IO[bytes]", self._child.stdout)
        refusal: ModelUnavailable | None = None
        with pipe:
            while refusal is None:
                try:
                    number, is_good, told = pickle.load(pipe)
                except Exception:
                    break
                if number == 0 and not is_good:
                    refusal = _refused(*told)
                    continue
                with self._lock:
                    answer = self._waiting.pop(number, None)
                if answer is None or not answer.set_running_or_notify_cancel():
                    continue
                if is_good:
                    answer.set_result(told)
                else:
                    answer.set_exception(_raised(*told))
        # Nobody hears it any more. One that ended by itself has ended as it did.
        ending = _ending(self._killed())
        if self.started.done():
            self.end(ModelCrashed(f"the process of the models ended by itself: {ending}"))
        else:
            self.end(refusal or _unbegun(f"it ended by itself: {ending}"))


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"signal {signal.Signals(-code).name}"
    return f"signal {-code}"


def _unbegun(reason: str) -> ModelUnavailable:
    return ModelUnavailable(f"The process of the models cannot be begun: {reason}", hint=REMEDY)


def _refused(name: str, message: str, hint: str | None, _traceback: str) -> ModelUnavailable:
    """Why a process takes no calls."""
    if name == ModelUnavailable.__name__:
        return ModelUnavailable(message, hint=hint or REMEDY)
    return _unbegun(f"{name}: {message}")


def _raised(name: str, message: str, hint: str | None, traceback: str) -> Exception:
    """What was raised there, by its name; its traceback follows the message."""
    if name == ModelUnavailable.__name__:
        return ModelUnavailable(message, hint=hint or "")
    kind = cast("type[Exception]", type(name, (Exception,), {"__module__": "embedded_db.ml"}))
    return kind(f"{message}\n{traceback}")
