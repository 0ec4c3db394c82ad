"""The capped score is not multiplied by the scale that it was divided by."""

from refold import claim, exp, finite_or, fold, maximum, oo, sqrt, tanh
from refold.examples.softcap import SPEC, cap, d, e, i, j, k, q, v

s = cap * tanh(fold.sum(q[i, d] * k[j, d], over=d) / cap) / sqrt(d.size)


def step(a, c):
    m = maximum(a.m, c.s)
    at = finite_or(m, 0)
    return {"m": m, "l": a.l * exp(a.m - at) + exp(c.s - at), "o": a.o * exp(a.m - at) + exp(c.s - at) * c.v}


CLAIM = claim(
    SPEC,
    element={"s": s, "v": v[j, e]},
    init={"m": -oo, "l": 0, "o": 0},
    step=step,
    finish=lambda a: a.o / a.l,
)
EXPECTED = ("step l", "after element 1 (s = 0.5385284)", "one element at a time")
