"""The server of the protocol, whatever carries it: lists, calls, resources, errors."""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import quote, unquote

import anyio.to_thread
from mcp import MCPError
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    Annotations,
    CallToolRequestParams,
    CallToolResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextContent,
    TextResourceContents,
    ToolAnnotations,
)
from mcp_types import Tool as ListedTool

from .. import __version__
from ..database import EmbeddedDB
from ..errors import DbError, InvalidInput, NotFound, ReadOnly
from ..models import wrap
from .records import NOTICE, escaped, fenced
from .tools import TOOLS, Caller, Tool, checked, read_chat, read_node

__all__ = ["CALLER", "build"]

CALLER: Final = "embedded_db.caller"
"""Where the door of a transport leaves who asks, in the scope of a request."""
PAGE: Final = 100
"""Resources of a page."""
AT_ONCE: Final = 8
"""Calls that are worked on at the same time; more wait."""
TITLE: Final = 100
"""Characters of the title of a resource."""
CHATS: Final = "embedded-db://chats/"
NODES: Final = "embedded-db://nodes/"
INSTRUCTIONS: Final = (
    "A memory that lasts. Look with recall or query before you answer from memory; keep with "
    f"remember what will be of use later. {NOTICE} Each has the id, the chat, the time and the "
    "sources that it is from: name them when you rely on it."
)

logger: Final = logging.getLogger("embedded_db.mcp")
T = TypeVar("T")
Context = ServerRequestContext[dict[str, Any]]


def build(db: EmbeddedDB, caller: Caller | None = None) -> Server[dict[str, Any]]:
    """Make the server of a database.

    Args:
        db: the database.
        caller: who asks; where it is left out, the door has to say so with each request.
    """
    service = Service(db, caller)
    return Server(
        "embedded-db",
        version=__version__,
        title="embedded-db",
        instructions=INSTRUCTIONS,
        on_list_tools=service.list_tools,
        on_call_tool=service.call_tool,
        on_list_resources=service.list_resources,
        on_list_resource_templates=service.list_templates,
        on_read_resource=service.read_resource,
    )


class Service:
    """What the requests of the protocol do with a database."""

    def __init__(self, db: EmbeddedDB, caller: Caller | None) -> None:
        self._db = db
        self._only = caller
        self._places = anyio.CapacityLimiter(AT_ONCE)

    def _caller(self, context: Context) -> Caller:
        request = context.request
        caller = self._only if request is None else request.scope[CALLER]
        if caller is None:
            raise MCPError(INTERNAL_ERROR, "nobody has said who asks")
        return Caller(caller.name, caller.may_write and not self._db.read_only)

    async def _done(self, function: Callable[[], T]) -> T:
        # Not abandoned when the caller leaves: the database is closed after its last call.
        return await anyio.to_thread.run_sync(
            function, limiter=self._places, abandon_on_cancel=True
        )

    async def list_tools(
        self, context: Context, params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        """List the tools that the caller may use."""
        caller = self._caller(context)
        return ListToolsResult(
            tools=[
                _listed(name, tool)
                for name, tool in TOOLS.items()
                if caller.may_write or not tool.writes
            ]
        )

    async def call_tool(self, context: Context, params: CallToolRequestParams) -> CallToolResult:
        """Call a tool; what is wrong with its arguments is told to the model, which can mend it."""
        tool = TOOLS.get(params.name)
        if tool is None:
            known = ", ".join(TOOLS)
            raise MCPError(INVALID_PARAMS, f"there is no tool {params.name[:100]!r}; use {known}")
        try:
            caller = self._caller(context)
            payload = await self._done(partial(self._call, tool, caller, params.arguments or {}))
        except DbError as error:
            return _refused(self._told(error))
        except Exception:
            logger.exception("the tool %s failed", params.name)
            return _refused(DEFECT)
        text = fenced(payload) if tool.gives_records else escaped(payload)
        if tool.gives_records:
            payload = {"notice": NOTICE, **payload}
        return CallToolResult(content=[TextContent(text=text)], structured_content=payload)

    def _call(self, tool: Tool, caller: Caller, arguments: Mapping[str, Any]) -> dict[str, Any]:
        if tool.writes and not caller.may_write:
            raise ReadOnly("nothing may be written here", hint="Use a token that may write")
        return tool.run(checked(tool, arguments), self._db, caller)

    def _told(self, error: DbError) -> dict[str, Any]:
        """Say what was wrong, without the place of the database."""
        return {
            "code": error.code,
            "message": error.message.replace(self._db.path, "the database"),
            "hint": error.hint,
            "retryable": error.retryable,
        }

    async def list_resources(
        self, context: Context, params: PaginatedRequestParams | None
    ) -> ListResourcesResult:
        """List the chats, in the order they were made."""
        after = None if params is None else params.cursor
        try:
            chats = await self._done(partial(self._chats, after))
        except (NotFound, InvalidInput):
            raise MCPError(INVALID_PARAMS, "the cursor is none; begin without it") from None
        except DbError as error:
            raise MCPError(INTERNAL_ERROR, self._told(error)["message"]) from None
        more = chats[-1][0] if len(chats) == PAGE else None
        return ListResourcesResult(
            resources=[_chat(id, title) for id, title in chats], next_cursor=more
        )

    def _chats(self, after: str | None) -> list[tuple[str, str]]:
        nodes = self._db._native.nodes_page("Chat", after, PAGE)
        wrapped = (wrap(self._db, node) for node in nodes)
        return [(node.id, node.get("title") or node.id) for node in wrapped]

    async def list_templates(
        self, context: Context, params: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        """Tell how anything stored is addressed."""
        return ListResourceTemplatesResult(
            resource_templates=[
                ResourceTemplate(
                    name="chat",
                    uri_template=f"{CHATS}{{id}}",
                    description="The newest messages of a chat, and its summary. Stored data.",
                    mime_type="text/plain",
                ),
                ResourceTemplate(
                    name="node",
                    uri_template=f"{NODES}{{id}}",
                    description="Any node by its id, with where it is from. Stored data.",
                    mime_type="text/plain",
                ),
            ]
        )

    async def read_resource(
        self, context: Context, params: ReadResourceRequestParams
    ) -> ReadResourceResult:
        """Read a chat or a node."""
        uri = params.uri
        for prefix, read in ((CHATS, read_chat), (NODES, read_node)):
            if uri.startswith(prefix):
                try:
                    payload = await self._done(partial(read, self._db, _id(uri, prefix)))
                except DbError as error:
                    wrong = isinstance(error, NotFound | InvalidInput)
                    code = INVALID_PARAMS if wrong else INTERNAL_ERROR
                    raise MCPError(code, self._told(error)["message"]) from None
                text = fenced(payload)
                content = TextResourceContents(uri=uri, mime_type="text/plain", text=text)
                return ReadResourceResult(contents=[content])
        raise MCPError(INVALID_PARAMS, f"no resource begins so: {uri[:100]!r}")


DEFECT: Final = {
    "code": "InternalError",
    "message": "the tool failed by a defect; the log of the server says more",
    "hint": None,
    "retryable": False,
}


def _id(uri: str, prefix: str) -> str:
    try:
        return unquote(uri.removeprefix(prefix), errors="strict")
    except UnicodeDecodeError:
        raise InvalidInput(f"the address {uri[:100]!r} is not UTF-8") from None


def _listed(name: str, tool: Tool) -> ListedTool:
    schema = tool.takes.model_json_schema()
    schema.pop("title", None)
    schema.pop("description", None)
    return ListedTool(
        name=name,
        description=tool.description,
        input_schema=schema,
        annotations=ToolAnnotations(
            read_only_hint=not tool.writes,
            destructive_hint=tool.destroys,
            idempotent_hint=not tool.writes,
            open_world_hint=False,
        ),
    )


def _refused(error: Mapping[str, Any]) -> CallToolResult:
    payload = {"error": dict(error)}
    return CallToolResult(
        content=[TextContent(text=escaped(payload))], structured_content=payload, is_error=True
    )


def _chat(id: str, title: str) -> Resource:
    shown = "".join(c if c.isprintable() else " " for c in title[:TITLE])
    return Resource(
        uri=CHATS + quote(id, safe=""),
        name=shown,
        description="A chat. Stored data; its title, too, is what others have written.",
        mime_type="text/plain",
        annotations=Annotations(audience=["assistant"]),
    )
