"""The online softmax with its guard: a part that holds nothing weighs 0."""

from refold import claim, exp, finite_or, maximum, oo
from refold.examples.softmax import SPEC, i, j, x


def step(a, c):
    m = maximum(a.m, c.x)
    return {"m": m, "l": a.l * exp(a.m - finite_or(m, 0)) + exp(c.x - finite_or(m, 0))}


def merge(a, b):
    m = maximum(a.m, b.m)
    return {"m": m, "l": a.l * exp(a.m - finite_or(m, 0)) + b.l * exp(b.m - finite_or(m, 0))}


CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"m": -oo, "l": 0},
    step=step,
    merge=merge,
    finish=lambda a, c: exp(c.x - a.m) / a.l,
)
