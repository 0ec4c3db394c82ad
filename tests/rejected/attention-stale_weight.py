"""New elements are weighed with the stale maximum."""

from refold import claim, exp, maximum, oo
from refold.examples.attention import SPEC, e, j, s, v


def step(a, c):
    m = maximum(a.m, c.s)
    return {"m": m, "l": a.l * exp(a.m - m) + exp(c.s - m), "o": a.o * exp(a.m - m) + exp(c.s - a.m) * c.v}


def merge(a, b):
    m = maximum(a.m, b.m)
    return {"m": m, "l": a.l * exp(a.m - m) + b.l * exp(b.m - m), "o": a.o * exp(a.m - m) + b.o * exp(b.m - m)}


CLAIM = claim(
    SPEC,
    element={"s": s, "v": v[j, e]},
    init={"m": -oo, "l": 0, "o": 0},
    step=step,
    merge=merge,
    finish=lambda a: a.o / a.l,
    empty_parts=False,
)
EXPECTED = ("step o", "after element 0 (s = 0, v = 0)", "one element at a time")
