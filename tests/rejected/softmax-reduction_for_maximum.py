"""`tl.max(m, block)` reduces m, with the block for an axis, where the pairwise `tl.maximum` is meant (Liger-Kernel)."""

from refold import claim, exp, oo
from refold.examples.softmax import SPEC, i, j, x


def step(a, c):
    m = a.m
    return {"m": m, "l": a.l * exp(a.m - m) + exp(c.x - m)}


CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"m": -oo, "l": 0},
    step=step,
    finish=lambda a, c: exp(c.x - a.m) / a.l,
)
EXPECTED = ("init m", "of no element", "one element at a time")
