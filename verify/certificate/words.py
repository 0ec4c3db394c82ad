"""Everything that a spec or a plan is made of, as a text that no two of them share, and its hash."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from typing import Any

import sympy as sp


def fingerprint(*values: Any) -> str:
    """The hash of all that values are made of: names, axes, dtypes and assumptions included."""
    seen: dict[Any, int] = {}
    text = "\n".join(word for value in values for word in _words(value, seen))
    return hashlib.sha256(text.encode()).hexdigest()


def _words(value: Any, seen: dict[Any, int]) -> Iterator[str]:
    """The words of a value in order; an expression that came before by its number."""
    if dataclasses.is_dataclass(value) and not isinstance(value, sp.Basic):
        yield f"({type(value).__name__}"
        for field in dataclasses.fields(value):
            yield from _words(getattr(value, field.name), seen)
        yield ")"
    elif isinstance(value, tuple | list):
        yield "["
        for part in value:
            yield from _words(part, seen)
        yield "]"
    elif isinstance(value, sp.Basic):
        if value in seen:
            yield f"#{seen[value]}"
            return
        seen[value] = len(seen)
        yield f"({type(value).__name__}"
        if value.args:
            for arg in value.args:
                yield from _words(arg, seen)
        else:
            # An atom of one's own, such as a tensor's name with its axes, prints as its class alone.
            yield sp.srepr(value) if isinstance(value, sp.Number) else repr(value._hashable_content())
        yield ")"
    else:
        yield repr(value)
