"""Scores less the maximum are clamped at -20: far ones weigh more than they should."""

from refold import claim, exp, maximum, oo
from refold.examples.softmax import SPEC, i, j, x


def step(a, c):
    m = maximum(a.m, c.x)
    return {"m": m, "l": a.l * exp(a.m - m) + exp(maximum(c.x - m, -20))}


CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"m": -oo, "l": 0},
    step=step,
    finish=lambda a, c: exp(maximum(c.x - a.m, -10)) / a.l,
)
EXPECTED = ("finish y", "at the end", "one element at a time")
