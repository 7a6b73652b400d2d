"""The Model Context Protocol: a database as the memory of an assistant.

`serve_stdio` and `serve_http` need the extra ``embedded-db[mcp]``, and import it when they are
called. ``embedded-db mcp PATH`` does the same from a shell.
"""

from .serving import serve_http, serve_stdio
from .streams import Streams, standard_streams

__all__ = ["Streams", "serve_http", "serve_stdio", "standard_streams"]
