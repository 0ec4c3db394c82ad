"""Query head h takes the keys of group h mod |g|, where groups are runs of neighbouring heads."""

from refold import claim, exp, finite_or, fold, maximum, oo, sqrt
from refold.examples.gqa import SPEC, d, e, g, h, i, j, k, q, v

group = h % g.size
s = fold.sum(q[h, i, d] * k[group, j, d], over=d) / sqrt(d.size)


def step(a, c):
    m = maximum(a.m, c.s)
    at = finite_or(m, 0)
    return {"m": m, "l": a.l * exp(a.m - at) + exp(c.s - at), "o": a.o * exp(a.m - at) + exp(c.s - at) * c.v}


CLAIM = claim(
    SPEC,
    element={"s": s, "v": v[group, j, e]},
    init={"m": -oo, "l": 0, "o": 0},
    step=step,
    finish=lambda a: a.o / a.l,
)
EXPECTED = ("step o", "after element 0 (s = 0, v = 1)", "one element at a time")
