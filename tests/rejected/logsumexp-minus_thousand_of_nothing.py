"""The maximum starts at -1000: of no class the log-sum-exp is not -oo."""

from refold import claim, exp, log, maximum
from refold.examples.logsumexp import SPEC, i, j, x


def step(a, c):
    m = maximum(a.m, c.x)
    return {"m": m, "l": a.l * exp(a.m - m) + exp(c.x - m)}


CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"m": -1000, "l": 1},
    step=step,
    finish=lambda a: a.m + log(a.l),
)
EXPECTED = ("init m", "of no element", "one element at a time")
