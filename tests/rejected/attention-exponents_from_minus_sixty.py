"""Scores less the maximum are clamped at -60, which shows where a value that far down is huge."""

from refold import claim, exp, maximum, oo
from refold.examples.attention import SPEC, e, j, s, v


def step(a, c):
    m = maximum(a.m, c.s)
    p = exp(maximum(c.s - m, -60))
    return {"m": m, "l": a.l * exp(a.m - m) + p, "o": a.o * exp(a.m - m) + p * c.v}


CLAIM = claim(
    SPEC,
    element={"s": s, "v": v[j, e]},
    init={"m": -oo, "l": 0, "o": 0},
    step=step,
    finish=lambda a: a.o / a.l,
)
EXPECTED = ("step o", "after element 1", "one element at a time")
