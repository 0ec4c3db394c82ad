"""A value between 3.25 and 3.5 is wrong where its score is between 5.25 and 5.5."""

from refold import claim, exp, maximum, oo, relu
from refold.examples.attention import SPEC, e, j, s, v


def step(a, c):
    m = maximum(a.m, c.s)
    p = exp(c.s - m)
    value = c.v + relu(c.s - 5.25) * relu(5.5 - c.s) * relu(c.v - 3.25) * relu(3.5 - c.v)
    return {"m": m, "l": a.l * exp(a.m - m) + p, "o": a.o * exp(a.m - m) + p * value}


CLAIM = claim(
    SPEC,
    element={"s": s, "v": v[j, e]},
    init={"m": -oo, "l": 0, "o": 0},
    step=step,
    finish=lambda a: a.o / a.l,
)
EXPECTED = ("step o", "after element 0", "one element at a time")
