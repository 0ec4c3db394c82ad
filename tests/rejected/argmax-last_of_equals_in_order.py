"""The last of equal values, as a loop that compares with >= finds it."""

from refold import claim, maximum, oo, where
from refold.examples.argmax import SPEC, i, j, x

CLAIM = claim(
    SPEC,
    element={"x": x[i, j], "at": j},
    init={"m": -oo, "at": -1},
    step=lambda a, c: {"m": maximum(a.m, c.x), "at": where(c.x >= a.m, c.at, a.at)},
    finish=lambda a: {"at": a.at, "top": a.m},
)
EXPECTED = ("step at", "after element 1 (x = -1, at = 1)", "one element at a time")
