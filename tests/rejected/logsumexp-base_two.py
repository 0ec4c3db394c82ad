"""The logarithm comes out in base 2 (pytorch#181645)."""

from refold import claim, exp, log, maximum, oo
from refold.examples.logsumexp import SPEC, i, j, x


def step(a, c):
    m = maximum(a.m, c.x)
    return {"m": m, "l": a.l * exp(a.m - m) + exp(c.x - m)}


def merge(a, b):
    m = maximum(a.m, b.m)
    return {"m": m, "l": a.l * exp(a.m - m) + b.l * exp(b.m - m)}


CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"m": -oo, "l": 0},
    step=step,
    merge=merge,
    finish=lambda a: (a.m + log(a.l)) / log(2),
    empty_parts=False,
)
EXPECTED = ("finish y", "at the end", "one element at a time")
