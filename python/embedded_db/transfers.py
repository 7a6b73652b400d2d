"""What a database does with whole files and tables."""

from collections.abc import Callable, Sequence
from os import PathLike
from typing import TYPE_CHECKING, cast

from .arguments import path_argument

if TYPE_CHECKING:
    from .database import EmbeddedDB
    from .interchange import Derived, ExportReport, LoadReport, OnConflict, TransferReport

__all__ = ["Transfers"]


class Transfers:
    """Exports, imports, tables."""

    def export(
        self,
        directory: str | PathLike[str],
        *,
        namespaces: Sequence[str] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> "ExportReport":
        """Write nodes, edges and embeddings of one instant as plain files, while writing goes on.

        The layout is JSON Lines and ``.npy``, described in `embedded_db.interchange.layout`.

        Args:
            directory: where to; it must not exist, or be empty. It appears when it is complete.
            namespaces: names; all when left out, of the handle of a namespace its own.
            progress: called with how many nodes and edges are written, and how many there are.

        Returns:
            What was exported.

        Raises:
            NotFound: there is no such namespace.
            InvalidInput: the directory is not empty, or lies in that of the database itself.
            StorageError: it cannot be written.
            SnapshotExpired: it took longer than ``max_snapshot_age``; open with a longer one.
            Timeout: other writers left no instant that all namespaces share.

        Examples:
            >>> _ = db.create_chat().add_message("Hello")
            >>> report = db.export("copy")
            >>> report.nodes, report.edges
            (2, 1)
        """
        from .interchange import export

        directory = path_argument("directory", directory)
        return export(cast("EmbeddedDB", self), directory, namespaces, progress)

    def import_(
        self,
        directory: str | PathLike[str],
        *,
        on_conflict: "OnConflict" = "error",
        derived: "Derived" = "auto",
        progress: Callable[[int, int], None] | None = None,
    ) -> "TransferReport":
        """Read an export. Every file is checked against its SHA-256 before anything is written.

        Into an empty namespace everything comes as it was, with times, versions, the history of
        edges and what the weaver has made. Beside other nodes it is new: ``created_at``,
        ``updated_at``, ``recorded_at`` and ``version`` begin again, and history stays behind.

        Records are stored in steps of 1,000; when one fails, those before it stay, and
        ``on_conflict="skip"`` goes on. The weaver rests meanwhile, and goes on at the end.

        Args:
            directory: what `export` has written. Its namespaces keep their names; the handle of
                a namespace takes an export of one namespace, whatever its name.
            on_conflict: what becomes of ids that are taken: ``"error"`` refuses all of it with a
                list, ``"skip"`` leaves what is there, ``"replace"`` makes it as in the export.
            derived: ``"rebuild"`` leaves out what the weaver makes anew (entities, mentions,
                relations, summaries, vectors of the model); ``"keep"`` stores it: into an empty
                namespace as the weaver's, beside other nodes as if a user had made it, for
                databases without a weaver. ``"auto"`` keeps it in an empty namespace, and else
                where there is no weaver.
            progress: called with how many records are stored, and how many there are.

        Returns:
            What was stored.

        Raises:
            AlreadyExists: ids are taken; ``conflicts`` lists the first 100, ``count`` says how
                many there are. Nothing was written.
            InvalidInput: the directory holds no export, or ``derived`` does not fit.
            FormatTooNew: a later version has written it.
            Corruption: a file is missing, cut off or changed.
            Conflict: another writer took an id meanwhile.
            ReadOnly: the handle only reads.

        Examples:
            >>> from embedded_db import EmbeddedDB
            >>> _ = db.create_chat().add_message("Hello")
            >>> _ = db.export("copy")
            >>> with EmbeddedDB(":memory:", ml=None) as other:
            ...     other.import_("copy").nodes, other.count("Message")
            (2, 1)
        """
        from .interchange import import_export

        directory = path_argument("directory", directory)
        return import_export(cast("EmbeddedDB", self), directory, on_conflict, derived, progress)

    def load_arrow(
        self,
        nodes: object = None,
        edges: object = None,
        *,
        space: str | None = None,
        batch_size: int = 10_000,
    ) -> "LoadReport":
        """Store nodes and edges of Arrow tables, nodes first; needs pyarrow.

        A table is a pyarrow Table, RecordBatch or RecordBatchReader, a Polars or pandas DataFrame,
        or anything else with ``__arrow_c_stream__`` or ``__arrow_c_array__``.

        Args:
            nodes: columns ``labels`` (lists of texts) or ``label`` (a text), and where wanted
                ``id``, ``vector`` (lists of numbers) and ``properties`` (a struct or map). Without
                ``properties`` every other column is a property; a null is one that is not there.
                Messages are put into their chats as by `create_nodes`; chats of a later batch come
                too late for that, so give them first.
            edges: columns ``source``, ``target``, ``type``, and where wanted ``id``, ``weight``,
                ``valid_from``, ``valid_to``, ``sources`` and ``properties``, or other columns.
            space: the embedding space of ``vector``; the default one when left out.
            batch_size: rows that are stored in one step, all or nothing.

        Returns:
            How much was stored.

        Raises:
            InvalidInput: a column is missing or of a type that cannot be stored, or a value is;
                ``column`` and ``row`` (from 0) name it. Batches before it are stored. Or pyarrow
                is not installed.
            AlreadyExists: an id is taken; ``column`` and ``row`` name it.
            NotFound: an end of an edge does not exist; ``column`` and ``row`` name it.
            DimensionMismatch: a vector has another length than the others or its space.

        Examples:
            >>> import pyarrow
            >>> cities = pyarrow.table(
            ...     {"id": ["oslo", "voss"], "label": ["City", "City"], "people": [7, 1]}
            ... )
            >>> roads = pyarrow.table({"source": ["oslo"], "target": ["voss"], "type": ["ROAD"]})
            >>> report = db.load_arrow(nodes=cities, edges=roads)
            >>> report.nodes, report.edges, db.get_node("oslo")["people"]
            (2, 1, 7)
        """
        from .interchange import load_arrow

        return load_arrow(
            cast("EmbeddedDB", self), nodes, edges, space=space, batch_size=batch_size
        )
