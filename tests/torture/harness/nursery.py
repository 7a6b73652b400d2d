"""A process of which children are forked: what takes them long, importing, was done before.

It is asked over a socket, and answers each request: ``start`` with one end of a child's own socket
makes a child and tells its process id; ``wait`` with a process id tells how that child ended.
"""

import ctypes
import os
import socket
import sys

from . import wire
from .child import serve

__all__ = ["main"]

PR_SET_PTRACER, ANYBODY = 0x59616D61, -1


def _start(asked: socket.socket, own: socket.socket) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        asked.close()
        # Where only ancestors may look into a process, strace may look into this one.
        ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANYBODY, 0, 0, 0)
        with own:
            serve(own)
        status = 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    raise AssertionError("it has ended")


def main() -> None:
    """Serve the socket whose descriptor is the argument."""
    with socket.socket(fileno=int(sys.argv[1])) as asked:
        os.set_inheritable(asked.fileno(), False)
        while True:
            try:
                what, number = wire.receive(asked)
            except EOFError:
                return
            if what == "start":
                _, [descriptor], _, _ = socket.recv_fds(asked, 1, 1)
                with socket.socket(fileno=descriptor) as own:
                    wire.send(asked, _start(asked, own))
            else:
                _, status = os.waitpid(number, 0)
                wire.send(asked, os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
