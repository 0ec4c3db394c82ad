"""The log-sum-exp of no class is 0."""

from refold import claim, exp, finite_or, log, maximum, oo
from refold.examples.logsumexp import SPEC, i, j, x


def step(a, c):
    m = maximum(a.m, c.x)
    return {"m": m, "l": a.l * exp(a.m - m) + exp(c.x - m)}


CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"m": -oo, "l": 0},
    step=step,
    finish=lambda a: finite_or(a.m + log(a.l), 0),
)
EXPECTED = ("finish y", "at the end", "one element at a time")
