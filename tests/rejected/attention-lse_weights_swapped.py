"""Normalised parts are weighted by each other's log-sum-exp."""

from refold import claim, exp, log, maximum, oo
from refold.examples.attention import SPEC, e, j, s, v


def join(o, lse, p, other):
    m = maximum(lse, other)
    a, b = exp(lse - m), exp(other - m)
    return {"o": (o * b + p * a) / (a + b), "lse": m + log(a + b)}


CLAIM = claim(
    SPEC,
    element={"s": s, "v": v[j, e]},
    init={"o": 0, "lse": -oo},
    step=lambda a, c: {**join(a.o, a.lse, c.v, c.s)},
    finish=lambda a: a.o,
)
EXPECTED = ("step o", "after element 0 (s = 0, v = 1)", "one element at a time")
