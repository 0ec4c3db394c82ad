"""The sum of weights is at most 50, which shows where more than fifty scores are equal."""

from refold import claim, exp, log, maximum, minimum, oo
from refold.examples.logsumexp import SPEC, i, j, x


def step(a, c):
    m = maximum(a.m, c.x)
    return {"m": m, "l": a.l * exp(a.m - m) + exp(c.x - m)}


CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"m": -oo, "l": 0},
    step=step,
    finish=lambda a: a.m + log(minimum(a.l, 50)),
)
EXPECTED = ("finish y", "at the end", "one element at a time")
