"""The merge averages the parts' finished outputs with equal weights."""

from refold import claim, exp, maximum, oo
from refold.examples.attention import SPEC, e, j, s, v


def step(a, c):
    m = maximum(a.m, c.s)
    return {
        "m": m,
        "l": a.l * exp(a.m - m) + exp(c.s - m),
        "o": (a.o * a.l * exp(a.m - m) + exp(c.s - m) * c.v) / (a.l * exp(a.m - m) + exp(c.s - m)),
    }


def merge(a, b):
    m = maximum(a.m, b.m)
    return {"m": m, "l": a.l * exp(a.m - m) + b.l * exp(b.m - m), "o": (a.o + b.o) / 2}


CLAIM = claim(
    SPEC,
    element={"s": s, "v": v[j, e]},
    init={"m": -oo, "l": 0, "o": 0},
    step=step,
    merge=merge,
    finish=lambda a: a.o,
    empty_parts=False,
)
EXPECTED = ("merge o", "merging [0] with [1]", "then merged")
