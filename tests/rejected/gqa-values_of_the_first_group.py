"""Keys are taken by group and values by the first group for every head."""

from refold import claim, exp, finite_or, maximum, oo
from refold.examples.gqa import SPEC, e, h, j, s, v

first = h // h.size


def step(a, c):
    m = maximum(a.m, c.s)
    at = finite_or(m, 0)
    return {"m": m, "l": a.l * exp(a.m - at) + exp(c.s - at), "o": a.o * exp(a.m - at) + exp(c.s - at) * c.v}


CLAIM = claim(
    SPEC,
    element={"s": s, "v": v[first, j, e]},
    init={"m": -oo, "l": 0, "o": 0},
    step=step,
    finish=lambda a: a.o / a.l,
)
EXPECTED = ("step o", "after element 0 (s = 0, v = 0)", "one element at a time")
