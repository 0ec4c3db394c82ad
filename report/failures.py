"""What ends a command without a verdict, for machines: the same formats, with one finding, `load`."""

from __future__ import annotations

import re
from pathlib import Path

from refold import __version__
from refold.report import formats
from refold.report.loading import Loaded

# Where a message says a place it begins with it: FILE.py:LINE, or FILE.py.
PLACE = re.compile(r"(?P<file>[^\n]+?\.py)(?::(?P<line>\d+))?(?::| is | has )")


def document(message: str, given: str, format: str) -> str:
    """The whole answer to a command that failed on `given`: an error, and never a verdict."""
    file, line = place(message, given)
    if format == "json":
        error = {"message": message, "file": file, "line": line}
        found = {"spec": given, "status": "error", "verdict": "error", "obligations": [], "error": error,
                 "versions": {"refold": __version__}}  # fmt: skip
        return formats.dumps(found) + "\n"
    loaded = Loaded(given, Path(file).stem, Path(file), line, None)
    finding = formats.Finding("load", message, "unknown", 0.0, word=formats.ERROR)
    match format:
        case "junit":
            return formats.junit(loaded, [finding]) + "\n"
        case "sarif":
            return formats.sarif(loaded, [finding]) + "\n"
    return formats.github(loaded, [finding]) + "\n"


def place(message: str, given: str) -> tuple[str, int]:
    """The file and the line that a message begins with; else the file that was given, from its first line."""
    said = PLACE.match(message)
    if said:
        return said["file"], int(said["line"] or 1)
    head, colon, name = given.rpartition(":")
    return (head if colon and head and name.isidentifier() else given) or "refold", 1
