"""Numbers as the kernel compiler has them, and names of `triton.language` over them: printed text runs on these."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable
from typing import Any

from refold.emit.runtime import helpers


class C(int):
    """An integer whose `//` and `%` truncate toward zero, as on tensors and scalars of a kernel."""

    def __floordiv__(self, other: int) -> C:
        a, b = int(self), int(other)
        return C(abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1))

    def __rfloordiv__(self, other: int) -> C:
        return C(other) // self

    def __mod__(self, other: int) -> C:
        return C(math.fmod(int(self), int(other)))

    def __add__(self, other: Any) -> Any:
        return like(int(self) + other)

    def __sub__(self, other: Any) -> Any:
        return like(int(self) - other)

    def __rsub__(self, other: Any) -> Any:
        return like(other - int(self))

    def __mul__(self, other: Any) -> Any:
        return like(int(self) * other)

    def __neg__(self) -> C:
        return C(-int(self))

    def to(self, dtype: Any) -> Any:
        return float(self) if dtype == "float32" else self

    __radd__, __rmul__ = __add__, __mul__


def like(value: Any) -> Any:
    return C(value) if isinstance(value, int) else value


class Language:
    """The part of `triton.language` that printed expressions use."""

    float32, int32, int64 = "float32", "int32", "int64"
    broadcast = staticmethod(lambda a, b: (a, b))
    cast = staticmethod(lambda x, dtype: float(x) if dtype == "float32" else like(x))
    cdiv = staticmethod(lambda a, b: (C(a) + (b - 1)) // b)
    PropagateNan = enum.Enum("PropagateNan", "NONE ALL")
    minimum = staticmethod(lambda a, b, propagate_nan=None: like(min(a, b)))
    maximum = staticmethod(lambda a, b, propagate_nan=None: like(max(a, b)))
    where = staticmethod(lambda cond, a, b: like(a if cond else b))
    abs = staticmethod(lambda x: like(abs(x)))
    sqrt = staticmethod(math.sqrt)
    exp2 = staticmethod(lambda x: 2.0**x)
    log2 = staticmethod(lambda x: math.log2(x) if x else -math.inf)
    floor = staticmethod(lambda x: float(math.floor(x)))


def run(lines: Iterable[str], text: str, **values: Any) -> Any:
    """What a text is after the lines before it."""
    scope = after(lines, **values)
    return eval(text, scope)


def after(lines: Iterable[str], **values: Any) -> dict[str, Any]:
    """The names that lines leave behind."""
    scope: dict[str, Any] = {"tl": Language, "math": math, "INDEX": "int32"}
    for helper in ("_floordiv", "_power", "_round", "_position", "_larger", "_smaller"):
        exec(helpers()[helper].replace("@triton.jit\n", ""), scope)
    scope |= {n: C(v) if isinstance(v, int) else v for n, v in values.items()}
    exec("\n".join(lines), scope)
    return scope
