"""`j < i + 2` for `j <= i`: one key of the future."""

from refold import claim, exp, finite_or, fold, maximum, oo, sqrt, where
from refold.examples.causal_attention import SPEC, d, e, i, j, k, q, v

s = where(j < i + 2, fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size), -oo)


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
EXPECTED = ("step l", "after element 1 (s = 0)", "one element at a time")
