"""What ends a command without a verdict, for machines: the same formats, with one finding, `load`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from refold import __version__
from refold.report import formats
from refold.report.loading import Loaded

# Where a message says a place it begins with it: FILE.py:LINE, or FILE.py.
PLACE = re.compile(r"(?P<file>[^\n]+?\.py)(?::(?P<line>\d+))?(?::| is | has )")


def document(message: str, given: str, format: str) -> str:
    """The whole answer to a command that failed on `given`: an error, and never a verdict."""
    if format == "json":
        return formats.dumps(data(message, given)) + "\n"
    return formats.WRITERS[format]([answer(message, given)]) + "\n"


def data(message: str, given: str) -> dict[str, Any]:
    """An error as an object of JSON."""
    file, line = place(message, given)
    error = {"message": message, "file": file, "line": line}
    return {"spec": given, "status": "error", "verdict": "error", "obligations": [], "error": error,
            "versions": {"refold": __version__}}  # fmt: skip


def answer(message: str, given: str) -> formats.Answer:
    """An error as the one thing that was found of a file."""
    file, line = place(message, given)
    finding = formats.Finding("load", message, "unknown", 0.0, word=formats.ERROR)
    return Loaded(given, Path(file).stem, Path(file), line, None), [finding]


def mistake(error: Exception) -> str:
    """What to say of an exception that is no fault of who meets it."""
    what = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")
    advice = "this is a mistake in refold: report it with the output under REFOLD_TRACEBACK=1"
    return f"refold failed, no verdict: {what}: {advice}"


def place(message: str, given: str) -> tuple[str, int]:
    """The file and the line that a message begins with; else the file that was given, from its first line."""
    said = PLACE.match(message)
    if said:
        return said["file"], int(said["line"] or 1)
    head, colon, name = given.rpartition(":")
    return (head if colon and head and name.isidentifier() else given) or "refold", 1
