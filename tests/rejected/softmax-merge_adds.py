"""Two sums with maxima of their own are added as they are."""

from refold import claim, exp, maximum, oo
from refold.examples.softmax import SPEC, i, j, x


def step(a, c):
    m = maximum(a.m, c.x)
    return {"m": m, "l": a.l * exp(a.m - m) + exp(c.x - m)}


def merge(a, b):
    m = maximum(a.m, b.m)
    return {"m": m, "l": a.l + b.l}


CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"m": -oo, "l": 0},
    step=step,
    merge=merge,
    finish=lambda a, c: exp(c.x - a.m) / a.l,
    empty_parts=False,
)
EXPECTED = ("merge l", "merging [0] with [1]", "then merged")
