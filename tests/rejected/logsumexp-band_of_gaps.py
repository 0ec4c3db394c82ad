"""A step is wrong where the new maximum is 1.25 to 1.5 above the old one."""

from refold import claim, exp, finite_or, log, maximum, oo, relu
from refold.examples.logsumexp import SPEC, i, j, x


def step(a, c):
    m = maximum(a.m, c.x)
    gap = c.x - finite_or(a.m, c.x)
    return {"m": m, "l": a.l * exp(a.m - m) + exp(c.x - m) + relu(gap - 1.25) * relu(1.5 - gap)}


CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"m": -oo, "l": 0},
    step=step,
    finish=lambda a: a.m + log(a.l),
)
EXPECTED = ("step l", "after element 1", "one element at a time")
