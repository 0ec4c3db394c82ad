"""The loss of an ignored target is not put to 0."""

from refold import claim, exp, log, maximum, oo, where
from refold.examples.cross_entropy import SPEC, c, i, target, x


def step(a, b):
    m = maximum(a.m, b.x)
    return {"m": m, "l": a.l * exp(a.m - m) + exp(b.x - m)}


CLAIM = claim(
    SPEC,
    element={"x": x[i, c]},
    init={"m": -oo, "l": 0},
    step=step,
    finish=lambda a: a.m + log(a.l) - where(target[i] >= 0, x[i, target[i]], 0),
)
EXPECTED = ("finish loss", "at the end", "one element at a time")
