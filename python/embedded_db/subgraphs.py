"""A part of the graph, and its ways into other programs."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, Final

from .libraries import library

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ._native import Edge, Node
    from .models import AnyNode
    from .models.owner import Owner

__all__ = ["Subgraph"]

NO_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""What an XML text cannot hold, however it is written."""

ESCAPES: Final = str.maketrans(
    {
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
        '"': "&quot;",
        "\t": "&#9;",
        "\n": "&#10;",
        "\r": "&#13;",
    }
)
"""What XML would read as something else. The module for it takes long to import."""

LONG: Final = range(-(1 << 63), 1 << 63)


class Subgraph:
    """Nodes and the edges between them.

    Attributes:
        edges: the edges, the oldest first; each has both its ends among the nodes.

    Examples:
        >>> one, two = db.create_chat().add_messages([{"content": "one"}, {"content": "two"}])
        >>> found = db.subgraph(one, hops=1, edge_types="NEXT")
        >>> [node.content for node in found.nodes], [edge.target == two.id for edge in found.edges]
        (['one', 'two'], [True])
    """

    __slots__ = ("_made", "_owner", "_raw", "edges")

    edges: list[Edge]

    def __init__(self, owner: Owner, nodes: list[Node], edges: list[Edge]) -> None:
        self._owner = owner
        self._raw = nodes
        self._made: list[AnyNode] | None = None
        self.edges = edges

    @property
    def nodes(self) -> list[AnyNode]:
        """The nodes: those that were asked for, and then the nearest first."""
        if self._made is None:
            from .models import wrap_all

            self._made = wrap_all(self._owner, self._raw)
        return self._made

    def __len__(self) -> int:
        return len(self._raw)

    def __repr__(self) -> str:
        return f"Subgraph({len(self._raw)} nodes, {len(self.edges)} edges)"

    def to_networkx(self) -> Any:
        """Give it as a ``networkx.MultiDiGraph``.

        Nodes and edges have their ids as keys and their properties as attributes; nodes ``labels``
        besides, a list, and edges ``type`` and ``weight``, in the place of properties of such a
        name.

        Raises:
            InvalidInput: networkx is not installed.

        Examples:
            >>> _ = db.create_nodes([{"id": id, "label": "City"} for id in ("Oslo", "Bergen")])
            >>> _ = db.create_edge({"source": "Oslo", "target": "Bergen", "type": "RAIL"})
            >>> graph = db.subgraph("Oslo").to_networkx()
            >>> graph.nodes["Bergen"], [kind for _, _, kind in graph.edges(data="type")]
            ({'labels': ['City']}, ['RAIL'])
        """
        graph = library("networkx", "to_networkx").MultiDiGraph()
        for node in self._raw:
            graph.add_node(node.id)
            graph.nodes[node.id].update(_of_node(node))
        for edge in self.edges:
            graph.add_edge(edge.source, edge.target, key=edge.id)
            graph.edges[edge.source, edge.target, edge.id].update(_of_edge(edge))
        return graph

    def to_graphml(self) -> str:
        """Give it as GraphML, an XML text that Gephi, yEd, Cytoscape, igraph and networkx read.

        What `to_networkx` gives as attributes are its data: a property whose values are all of one
        kind is boolean, long, double or string. Others, and lists and dicts, are strings in JSON. A
        character that XML cannot hold becomes U+FFFD.

        Examples:
            >>> _ = db.create_nodes([{"id": id, "label": "City"} for id in ("Oslo", "Bergen")])
            >>> _ = db.create_edge({"source": "Oslo", "target": "Bergen", "type": "RAIL"})
            >>> text = db.subgraph("Oslo").to_graphml()
            >>> 'source="Oslo" target="Bergen">' in text
            True
        """
        nodes = [(node, _of_node(node)) for node in self._raw]
        edges = [(edge, _of_edge(edge)) for edge in self.edges]
        of_nodes = _kinds(data for _, data in nodes)
        of_edges = _kinds(data for _, data in edges)
        lines = [
            '<?xml version="1.0" encoding="UTF-8"?>',
            '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">',
            *_keys("node", of_nodes),
            *_keys("edge", of_edges),
            '<graph edgedefault="directed">',
        ]
        for node, data in nodes:
            lines += [f"<node id={_attribute(node.id)}>", *_data("node", data, of_nodes), "</node>"]
        for edge, data in edges:
            ends = f"source={_attribute(edge.source)} target={_attribute(edge.target)}"
            lines += [f"<edge id={_attribute(edge.id)} {ends}>", *_data("edge", data, of_edges)]
            lines.append("</edge>")
        return "\n".join([*lines, "</graph>", "</graphml>", ""])


def _of_node(node: Node) -> dict[str, Any]:
    return {**node.properties, "labels": node.labels}


def _of_edge(edge: Edge) -> dict[str, Any]:
    return {**edge.properties, "type": edge.type, "weight": edge.weight}


def _kinds(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Give the kind of each attribute, in the words of GraphML; "" if its values have none."""
    kinds: dict[str, str] = {}
    for row in rows:
        for name, value in row.items():
            kind = _kind(value)
            both = {kinds.setdefault(name, kind), kind}
            if both == {"long", "large"}:
                kinds[name] = "large"
            elif both == {"long", "double"}:
                kinds[name] = "double"
            elif len(both) > 1:
                kinds[name] = ""
    return {name: "long" if kind == "large" else kind for name, kind in kinds.items()}


def _kind(value: object) -> str:
    """Give the kind of one value; an integer that not every float holds is "large"."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "long" if abs(value) <= 1 << 53 else "large" if value in LONG else ""
    return "double" if isinstance(value, float) else "string" if isinstance(value, str) else ""


def _keys(of: str, kinds: Mapping[str, str]) -> list[str]:
    lines = []
    for at, (name, kind) in enumerate(kinds.items()):
        named = f'attr.name={_attribute(name)} attr.type="{kind or "string"}"'
        lines.append(f'<key id="{of}{at}" for="{of}" {named}/>')
    return lines


def _data(of: str, row: Mapping[str, Any], kinds: Mapping[str, str]) -> list[str]:
    return [
        f'<data key="{of}{at}">{_text(row[name], kind)}</data>'
        for at, (name, kind) in enumerate(kinds.items())
        if row.get(name) is not None
    ]


def _text(value: Any, kind: str) -> str:
    if kind == "boolean":
        return "true" if value else "false"
    if kind == "double" and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "INF" if value > 0 else "-INF"
    text = str(value) if kind else json.dumps(value, ensure_ascii=False, default=str)
    return _escaped(text)


def _attribute(text: str) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    return NO_XML.sub("\ufffd", text).translate(ESCAPES)
