"""The position of the last part is taken, whatever its key."""

from refold import claim, maximum, oo
from refold.examples.argmax import SPEC, i, j, x

CLAIM = claim(
    SPEC,
    element={"x": x[i, j], "at": j},
    init={"m": -oo, "at": -1},
    step=lambda a, c: {"m": maximum(a.m, c.x), "at": c.at},
    merge=lambda a, b: {"m": maximum(a.m, b.m), "at": b.at},
    finish=lambda a: {"at": a.at, "top": a.m},
    empty_parts=False,
)
EXPECTED = ("step at", "after element 1 (at = 1)", "one element at a time")
