"""What holds for all tests: how many run at once, and who hears Ctrl-C."""

import os
import signal

# A shell has what it starts in the background ignore Ctrl-C, and children would as well.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: a quarter of their time tests wait for something."""
    return (os.cpu_count() or 1) + 1
