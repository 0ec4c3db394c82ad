"""The merge is right for any anchor; the state that it leaves says the smaller maximum, the sum is at the larger."""

from refold import claim, exp, maximum, minimum, oo
from refold.examples.softmax import SPEC, i, j, x


def step(a, c):
    m = maximum(a.m, c.x)
    return {"m": m, "l": a.l * exp(a.m - m) + exp(c.x - m)}


def merge(a, b):
    m = maximum(a.m, b.m)
    return {"m": minimum(a.m, b.m), "l": a.l * exp(a.m - m) + b.l * exp(b.m - m)}


CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"m": -oo, "l": 0},
    step=step,
    merge=merge,
    finish=lambda a, c: exp(c.x - a.m) / a.l,
    empty_parts=False,
)
EXPECTED = ("merge m", "merging [0] with [1]", "then merged")
