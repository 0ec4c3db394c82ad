"""The running maximum starts at 0, in the sum and not in the accumulator: rows of low scores lose their scale."""

from refold import claim, exp, maximum
from refold.examples.attention import SPEC, e, j, s, v


def step(a, c):
    m = maximum(a.m, c.s)
    return {"m": m, "l": a.l * exp(a.m - m) + exp(c.s), "o": a.o * exp(a.m - m) + exp(c.s - m) * c.v}


def merge(a, b):
    m = maximum(a.m, b.m)
    return {"m": m, "l": a.l * exp(a.m - m) + b.l * exp(b.m - m), "o": a.o * exp(a.m - m) + b.o * exp(b.m - m)}


CLAIM = claim(
    SPEC,
    element={"s": s, "v": v[j, e]},
    init={"m": 0, "l": 0, "o": 0},
    step=step,
    merge=merge,
    finish=lambda a: a.o / a.l,
    empty_parts=False,
)
EXPECTED = ("init m", "of no element", "one element at a time")
