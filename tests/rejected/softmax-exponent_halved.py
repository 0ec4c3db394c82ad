"""The correction takes the root of the scale: exp((stale - new) / 2)."""

from refold import claim, exp, maximum, oo
from refold.examples.softmax import SPEC, i, j, x


def step(a, c):
    m = maximum(a.m, c.x)
    return {"m": m, "l": a.l * exp((a.m - m) / 2) + exp(c.x - m)}


CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"m": -oo, "l": 0},
    step=step,
    finish=lambda a, c: exp(c.x - a.m) / a.l,
)
EXPECTED = ("step l", "after element 1 (x = 1)", "one element at a time")
