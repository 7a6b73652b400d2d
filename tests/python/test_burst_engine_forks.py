"""Promise: a burst engine in a forked child answers or refuses, and never waits for ever."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")

PROGRAM = """
import os, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads is the point
import numpy as np
from embedded_db import InvalidInput
from embedded_db.neural import BurstEngine

engine = BurstEngine(200_000, 0)
everyone = np.arange(200_000)
engine.process_burst(everyone, 0.5)
ended = threading.Event()

def work():
    while not ended.is_set():
        engine.process_burst(everyone, 0.001)

def in_a_child():
    child = os.fork()
    if child == 0:
        try:
            engine.process_burst([1])
            os._exit(0)
        except InvalidInput as error:
            os._exit(1 if "forked" in str(error) else 2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

assert in_a_child() == 0, "nobody was in it"
worker = threading.Thread(target=work)
worker.start()
outcomes = {in_a_child() for _ in range(30)}
ended.set()
worker.join()
assert outcomes <= {0, 1}, outcomes
assert 1 in outcomes, "somebody was in it"
before = engine.burst_count
engine.process_burst()
assert engine.burst_count == before + 1
"""


def test_a_child_that_was_forked_during_a_burst():
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr
