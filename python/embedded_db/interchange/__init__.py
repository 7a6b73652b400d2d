"""Whole databases in and out as plain files, and tables in.

`EmbeddedDB.export`, `EmbeddedDB.import_` and `EmbeddedDB.load_arrow` are what a program calls. The
layout of an export is in `layout`, the form of values in JSON in `values`.
"""

from .arrow import LoadReport, load_arrow
from .exporting import ExportReport, export
from .importing import Derived, OnConflict, TransferReport, import_export

__all__ = [
    "Derived",
    "ExportReport",
    "LoadReport",
    "OnConflict",
    "TransferReport",
    "export",
    "import_export",
    "load_arrow",
]
