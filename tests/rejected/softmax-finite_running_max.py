"""The running maximum starts at -5e4 and merges as if that were a score (flashinfer#4267)."""

from refold import claim, exp, maximum
from refold.examples.softmax import SPEC, i, j, x


def step(a, c):
    m = maximum(a.m, c.x)
    return {"m": m, "l": a.l * exp(a.m - m) + exp(c.x - m)}


def merge(a, b):
    m = maximum(a.m, b.m)
    return {"m": m, "l": a.l * exp(a.m - m) + b.l * exp(b.m - m)}


CLAIM = claim(
    SPEC,
    element={"x": 1000 * x[i, j] - 60000},
    init={"m": -50000, "l": 0},
    step=step,
    merge=merge,
    finish=lambda a, c: exp(c.x - a.m) / a.l,
    empty_parts=False,
)
EXPECTED = ("claim", None, "one element at a time")
