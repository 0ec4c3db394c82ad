"""The penalty is on the finished loss, from which the target's logit is gone already."""

from refold import claim, exp, log, maximum, oo, where
from refold.examples.z_loss import IGNORE, SPEC, c, i, target, x, z


def step(a, b):
    m = maximum(a.m, b.x)
    return {"m": m, "l": a.l * exp(a.m - m) + exp(b.x - m)}


def finish(a):
    loss = a.m + log(a.l) - x[i, target[i]]
    return where(target[i] != IGNORE, loss + z * loss**2, 0)


CLAIM = claim(
    SPEC,
    element={"x": x[i, c]},
    init={"m": -oo, "l": 0},
    step=step,
    finish=finish,
)
EXPECTED = ("finish loss", "at the end", "one element at a time")
