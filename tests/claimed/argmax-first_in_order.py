"""The first of equal values, as a loop from the left finds it."""

from refold import claim, maximum, oo, where
from refold.examples.argmax import SPEC, i, j, x

CLAIM = claim(
    SPEC,
    element={"x": x[i, j], "at": j},
    init={"m": -oo, "at": -1},
    step=lambda a, c: {"m": maximum(a.m, c.x), "at": where(c.x > a.m, c.at, a.at)},
    merge=lambda a, b: {"m": maximum(a.m, b.m), "at": where(b.m > a.m, b.at, a.at)},
    finish=lambda a: {"at": a.at, "top": a.m},
)
EXPECTED = "unknown"  # parts may be merged in any order, for all that is known of a derived state
