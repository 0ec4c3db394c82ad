"""Far keys are favoured: the bias is added."""

from refold import claim, exp, finite_or, fold, maximum, oo, sqrt, where
from refold.examples.alibi import SPEC, d, e, h, i, j, k, q, slope, v

s = fold.sum(q[h, i, d] * k[h, j, d], over=d) / sqrt(d.size) + slope[h] * (i - j)
s = where(j <= i, s, -oo)


def step(a, c):
    m = maximum(a.m, c.s)
    at = finite_or(m, 0)
    return {"m": m, "l": a.l * exp(a.m - at) + exp(c.s - at), "o": a.o * exp(a.m - at) + exp(c.s - at) * c.v}


CLAIM = claim(
    SPEC,
    element={"s": s, "v": v[h, j, e]},
    init={"m": -oo, "l": 0, "o": 0},
    step=step,
    finish=lambda a: a.o / a.l,
)
EXPECTED = ("step o", "after element 1 (s = 0, v = 1)", "one element at a time")
