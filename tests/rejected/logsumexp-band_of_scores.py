"""A score between 71 and 72 weighs more than it should."""

from refold import claim, exp, log, maximum, oo, relu
from refold.examples.logsumexp import SPEC, i, j, x


def step(a, c):
    m = maximum(a.m, c.x)
    return {"m": m, "l": a.l * exp(a.m - m) + exp(c.x - m) * (1 + relu(c.x - 71) * relu(72 - c.x))}


CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"m": -oo, "l": 0},
    step=step,
    finish=lambda a: a.m + log(a.l),
)
EXPECTED = ("step l", "after element 0", "one element at a time")
