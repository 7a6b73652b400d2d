"""A child that was not forked: ``python -m harness.alone FD`` serves the socket of that number."""

import os
import socket
import sys

from .child import serve

if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as sock:
        os.set_inheritable(sock.fileno(), False)
        serve(sock)
