"""Where in the user's files a pipeline is written: kept beside a value and never in it, so that equal ones stay equal.

A place goes with one object. It takes no part in comparison, hash, pickle or fingerprint, and a copy has none.
"""

from __future__ import annotations

import ast
import linecache
import sys
import weakref
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

# Folds that no pipeline has taken yet; of more than so many the first are forgotten.
MOST = 10_000
# How many calls of this layer may lie between a fold and the user's own line.
DEPTH = 50
# What a pipeline as a whole is among its parts.
WHOLE = ""


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file."""

    file: str
    line: int

    @property
    def path(self) -> str:
        """The file as a reader would type it, from the current folder where it lies below."""
        try:
            return Path(self.file).resolve().relative_to(Path.cwd()).as_posix()
        except (ValueError, OSError):
            return self.file

    @property
    def text(self) -> str:
        """What the line says; nothing where the file is gone."""
        return "".join(_lines(self.file)[self.line - 1 : self.line]).strip()

    def __str__(self) -> str:
        said = f"   {self.text}" if self.text else ""
        return f"{self.path}:{self.line}{said}"


_WRITTEN: dict[Hashable, Place] = {}
_KEPT: dict[int, Mapping[Hashable, Place]] = {}


def here() -> Place | None:
    """The line of the nearest caller that is none of this layer, nor a claim."""
    frame: FrameType | None = sys._getframe(1)
    for _ in range(DEPTH):
        if frame is None or not _is_own(frame.f_globals.get("__name__", "")):
            break
        frame = frame.f_back
    return None if frame is None else Place(frame.f_code.co_filename, frame.f_lineno)


def _is_own(module: str) -> bool:
    # A decorator of this layer calls through contextlib.
    return module.startswith(("refold.spec.", "refold.verify.claim.")) or module == "contextlib"


def write(expr: Hashable, place: Place | None) -> None:
    """Says where an expression was written last: the pipeline that takes it is the one that is written next."""
    _WRITTEN.pop(expr, None)
    if place is not None:
        _WRITTEN[expr] = place
    while len(_WRITTEN) > MOST:
        del _WRITTEN[next(iter(_WRITTEN))]


def written(expr: Hashable) -> Place | None:
    """Where an expression was written last."""
    return _WRITTEN.get(expr)


def keep(value: Any, found: Mapping[Hashable, Place | None]) -> None:
    """Keeps the places of the parts of a value as long as the value itself."""
    known = {part: place for part, place in found.items() if place is not None}
    if known:
        _KEPT[id(value)] = known
        weakref.finalize(value, _KEPT.pop, id(value), None)


def of_function(function: Any) -> Place | None:
    """Where a function of the user's is written; None for what has no line."""
    code = getattr(function, "__code__", None)
    return None if code is None else Place(code.co_filename, code.co_firstlineno)


def places(value: Any) -> Mapping[Hashable, Place]:
    """The places of the parts of this very value, those that are known."""
    return _KEPT.get(id(value), {})


def inside(place: Place, name: str) -> Place:
    """The line on which `name=` or `"name":` stands in the call or the function at a place; else the place itself."""
    try:
        tree = ast.parse("".join(_lines(place.file)))
    except (SyntaxError, ValueError, RecursionError):
        return place
    around = [n for n in ast.walk(tree) if isinstance(n, ast.Call | ast.FunctionDef | ast.Lambda)]
    for node in (n for n in around if n.lineno == place.line):
        for part in ast.walk(node):
            match part:
                case ast.keyword(arg=word) if word == name:
                    return Place(place.file, part.lineno)
                case ast.Dict(keys=keys):
                    for key in keys:
                        if isinstance(key, ast.Constant) and key.value == name:
                            return Place(place.file, key.lineno)
    return place


def _lines(file: str) -> list[str]:
    """The lines of a file as it is now, or of a cell of a notebook."""
    linecache.checkcache(file)
    return linecache.getlines(file)
