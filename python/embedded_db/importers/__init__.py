"""Readers of chat histories, and the one function that stores what they read.

A reader takes a file, an archive or a directory and yields `Batch` after `Batch`, so that an export
of any length needs little memory. Files may be compressed with gzip (``.gz``) or stand in a zip
archive.
"""

from .base import Batch, DateOrder, ImportOptions, ImportProgress, ImportReport, Problem, Reader
from .registry import FORMATS, check_file, detect, import_file, reader_for
from .source import Document, Source

__all__ = [
    "FORMATS",
    "Batch",
    "DateOrder",
    "Document",
    "ImportOptions",
    "ImportProgress",
    "ImportReport",
    "Problem",
    "Reader",
    "Source",
    "check_file",
    "detect",
    "import_file",
    "reader_for",
]
