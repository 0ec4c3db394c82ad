"""Finished outputs of the splits are averaged by their sums alone, each relative to a maximum of its own."""

from refold import claim, exp, maximum, oo
from refold.examples.decode import SPEC, e, j, s, v


def step(a, c):
    m = maximum(a.m, c.s)
    l = a.l * exp(a.m - m) + exp(c.s - m)
    return {"m": m, "l": l, "o": (a.o * a.l * exp(a.m - m) + exp(c.s - m) * c.v) / l}


def merge(a, b):
    m = maximum(a.m, b.m)
    return {
        "m": m,
        "l": a.l * exp(a.m - m) + b.l * exp(b.m - m),
        "o": (a.o * a.l + b.o * b.l) / (a.l + b.l),
    }


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
