"""Online softmax of masked rows: parts that are masked as a whole weigh 0, and rows give 0."""

from refold import claim, exp, finite_or, maximum, oo
from refold.examples.causal_attention import SPEC, e, j, s, v


def step(a, c):
    m = maximum(a.m, c.s)
    return {
        "m": m,
        "l": a.l * exp(a.m - finite_or(m, 0)) + exp(c.s - finite_or(m, 0)),
        "o": a.o * exp(a.m - finite_or(m, 0)) + exp(c.s - finite_or(m, 0)) * c.v,
    }


def merge(a, b):
    m = maximum(a.m, b.m)
    return {
        "m": m,
        "l": a.l * exp(a.m - finite_or(m, 0)) + b.l * exp(b.m - finite_or(m, 0)),
        "o": a.o * exp(a.m - finite_or(m, 0)) + b.o * exp(b.m - finite_or(m, 0)),
    }


CLAIM = claim(
    SPEC,
    element={"s": s, "v": v[j, e]},
    init={"m": -oo, "l": 0, "o": 0},
    step=step,
    merge=merge,
    finish=lambda a: a.o / a.l,
)
