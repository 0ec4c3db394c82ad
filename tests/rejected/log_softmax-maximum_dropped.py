"""The logarithm of the shifted sum is subtracted and the shift is not."""

from refold import claim, exp, log, maximum, oo
from refold.examples.log_softmax import SPEC, i, j, x


def step(a, c):
    m = maximum(a.m, c.x)
    return {"m": m, "l": a.l * exp(a.m - m) + exp(c.x - m)}


CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"m": -oo, "l": 0},
    step=step,
    finish=lambda a, c: c.x - log(a.l),
)
EXPECTED = ("finish y", "at the end", "one element at a time")
