"""Rows that the window masks as a whole are divided by 0, where 0 is stated."""

from refold import claim, exp, finite_or, maximum, oo
from refold.examples.window_attention import SPEC, e, j, s, v


def step(a, c):
    m = maximum(a.m, c.s)
    at = finite_or(m, 0)
    return {"m": m, "l": a.l * exp(a.m - at) + exp(c.s - at), "o": a.o * exp(a.m - at) + exp(c.s - at) * c.v}


CLAIM = claim(
    SPEC,
    element={"s": s, "v": v[j, e]},
    init={"m": -oo, "l": 0, "o": 0},
    step=step,
    finish=lambda a: a.o / a.l,
)
EXPECTED = ("finish o", "at the end", "one element at a time")
