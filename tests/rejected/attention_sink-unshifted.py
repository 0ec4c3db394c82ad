"""The sink enters the sum at the end, and not relative to the maximum."""

from refold import claim, exp, maximum, oo
from refold.examples.attention_sink import SPEC, e, h, j, s, sink, v


def step(a, c):
    m = maximum(a.m, c.s)
    return {"m": m, "l": a.l * exp(a.m - m) + exp(c.s - m), "o": a.o * exp(a.m - m) + exp(c.s - m) * c.v}


CLAIM = claim(
    SPEC,
    element={"s": s, "v": v[h, j, e]},
    init={"m": -oo, "l": 0, "o": 0},
    step=step,
    finish=lambda a: a.o / (a.l + exp(sink[h])),
)
EXPECTED = ("finish o", "at the end", "one element at a time")
