"""Splits store finished outputs: that of a split that holds nothing is 0/0 (flashinfer#4401)."""

from refold import claim, exp, finite_or, maximum, oo
from refold.examples.decode import SPEC, e, j, s, v


def step(a, c):
    m = maximum(a.m, c.s)
    l = a.l * exp(a.m - m) + exp(c.s - m)
    return {"m": m, "l": l, "o": (a.o * a.l * exp(a.m - m) + exp(c.s - m) * c.v) / l}


def merge(a, b):
    m = maximum(a.m, b.m)
    at = finite_or(m, 0)
    l = a.l * exp(a.m - at) + b.l * exp(b.m - at)
    return {"m": m, "l": l, "o": (a.o * a.l * exp(a.m - at) + b.o * b.l * exp(b.m - at)) / l}


CLAIM = claim(
    SPEC,
    element={"s": s, "v": v[j, e]},
    init={"m": -oo, "l": 0, "o": 0},
    step=step,
    merge=merge,
    finish=lambda a: a.o,
)
EXPECTED = ("merge o", "merging [] with []", "two empty parts merged")
