"""The empty sum is 1, as if one element had been seen."""

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
    element={"x": x[i, j]},
    init={"m": 0, "l": 1},
    step=step,
    merge=merge,
    finish=lambda a, c: exp(c.x - a.m) / a.l,
    empty_parts=False,
)
EXPECTED = ("init m", "of no element", "one element at a time")
