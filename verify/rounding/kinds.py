"""The sources of rounding errors: what rounds where in a kernel, how often, and in which unit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from refold.verify.rounding.tape import UNIT, U

DType = Literal["float32", "float16", "bfloat16"]
Unit = Literal["u", "v", "w", "u²"]


@dataclass(frozen=True, slots=True)
class Sizes:
    """N positions in tiles of B over P parts, so T = ceil(N/(B P)) tiles a part; inner sums of at most D terms."""

    N: int
    B: int
    P: int
    D: int

    @property
    def T(self) -> int:
        return math.ceil(self.N / (self.B * self.P))


@dataclass(frozen=True, slots=True)
class Kind:
    """Operations of one source: how many an output waits for, in words and figures, and their unit.

    The magnitude A of a source is the effect of one operation of it, in its unit: summed over all positions (what is
    done to elements, and at the end), or, where `worst`, the largest over the tiles (the parts), of which the count
    says how many there are.
    """

    count: str
    unit: Unit
    value: Callable[[Sizes], int]
    worst: bool = False


KINDS: dict[str, Kind] = {
    "inner sums": Kind("(D−1)", "u", lambda s: max(s.D - 1, 0)),
    "elements": Kind("", "u", lambda s: 1),
    "exponentials": Kind("", "u", lambda s: 1),
    "operands": Kind("", "v", lambda s: 1),
    "tile sums": Kind("(B−1)", "u", lambda s: s.B - 1),
    "dots": Kind("B", "u", lambda s: s.B),
    "carried": Kind("T·B", "u", lambda s: s.T * s.B, worst=True),
    "state": Kind("T", "u", lambda s: s.T, worst=True),
    "narrow state": Kind("T", "v", lambda s: s.T, worst=True),
    "merges": Kind("P", "u", lambda s: s.P, worst=True),
    "narrow merges": Kind("P", "v", lambda s: s.P, worst=True),
    "finish": Kind("", "u", lambda s: 1),
    "narrow finish": Kind("", "v", lambda s: 1),
    "store": Kind("", "w", lambda s: 1),
    "remainder": Kind("", "u²", lambda s: 1),
}
# What rounds to a narrow dtype, by whatever else rounds there.
NARROW = {"elements": "operands", "state": "narrow state", "merges": "narrow merges", "finish": "narrow finish"}


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How a kernel computes: tiles of `block` positions over `parts` parts, and its dtypes.

    Accumulators and all that is not named here are float32, rounded to nearest. `operands` is the dtype of data and
    what the two sides of a dot are rounded to, `result` what is stored. Additions are in any order.
    """

    block: int = 64
    parts: int = 1
    operands: DType = "float32"
    result: DType = "float32"

    def unit(self, name: Unit) -> float:
        return U * U if name == "u²" else UNIT[{"u": "float32", "v": self.operands, "w": self.result}[name]]
