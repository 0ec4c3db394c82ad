"""A masked score is -1000, which is more than a score may be."""

from refold import claim, exp, fold, maximum, oo, sqrt, where
from refold.examples.causal_attention import SPEC, d, e, i, j, k, q, v

s = where(j <= i, fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size), -1000)


def step(a, c):
    m = maximum(a.m, c.s)
    return {"m": m, "l": a.l * exp(a.m - m) + exp(c.s - m), "o": a.o * exp(a.m - m) + exp(c.s - m) * c.v}


CLAIM = claim(
    SPEC,
    element={"s": s, "v": v[j, e]},
    init={"m": -oo, "l": 0, "o": 0},
    step=step,
    finish=lambda a: a.o / a.l,
)
EXPECTED = ("step l", "after element 1 (s = -1000)", "one element at a time")
