"""Readers of chat histories, and the one function that stores what they read.

A reader takes a file and yields `Batch` after `Batch`, so that a file of any length needs little
memory. Files may be compressed with gzip (``.gz``).
"""

from .base import Batch, ImportProgress, ImportReport, Reader, Source
from .registry import FORMATS, check_file, detect, import_file, reader_for

__all__ = [
    "FORMATS",
    "Batch",
    "ImportProgress",
    "ImportReport",
    "Reader",
    "Source",
    "check_file",
    "detect",
    "import_file",
    "reader_for",
]
