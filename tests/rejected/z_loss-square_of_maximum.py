"""The penalty is on the maximum for the log-sum-exp."""

from refold import claim, exp, log, maximum, oo, where
from refold.examples.z_loss import IGNORE, SPEC, c, i, target, x, z


def step(a, b):
    m = maximum(a.m, b.x)
    return {"m": m, "l": a.l * exp(a.m - m) + exp(b.x - m)}


CLAIM = claim(
    SPEC,
    element={"x": x[i, c]},
    init={"m": -oo, "l": 0},
    step=step,
    finish=lambda a: where(target[i] != IGNORE, a.m + log(a.l) - x[i, target[i]] + z * a.m**2, 0),
)
EXPECTED = ("finish loss", "at the end", "one element at a time")
