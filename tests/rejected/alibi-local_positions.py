"""Each part counts its positions from 0, so that the bias of a later part is too small."""

from refold import claim, exp, finite_or, fold, maximum, oo, sqrt, where
from refold.examples.alibi import SPEC, d, e, h, i, j, k, q, slope, v

raw = where(j <= i, fold.sum(q[h, i, d] * k[h, j, d], over=d) / sqrt(d.size), -oo)


def step(a, c):
    s = c.s - slope[h] * (i - a.n)
    m = maximum(a.m, s)
    at = finite_or(m, 0)
    return {
        "n": a.n + 1,
        "m": m,
        "l": a.l * exp(a.m - at) + exp(s - at),
        "o": a.o * exp(a.m - at) + exp(s - at) * c.v,
    }


def merge(a, b):
    m = maximum(a.m, b.m)
    at = finite_or(m, 0)
    return {
        "n": a.n + b.n,
        "m": m,
        "l": a.l * exp(a.m - at) + b.l * exp(b.m - at),
        "o": a.o * exp(a.m - at) + b.o * exp(b.m - at),
    }


CLAIM = claim(
    SPEC,
    element={"s": raw, "v": v[h, j, e]},
    init={"n": 0, "m": -oo, "l": 0, "o": 0},
    step=step,
    merge=merge,
    finish=lambda a: a.o / a.l,
)
EXPECTED = ("step m", "after element 1 (s = 0)", "then merged")
