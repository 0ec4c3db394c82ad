"""Masked scores are -FLT_MAX: in a row that sees nothing each weighs exp(0) = 1 (TensorRT-LLM#17477)."""

from refold import claim, exp, finite_or, fold, maximum, oo, sqrt, where
from refold.examples.causal_attention_bottom_right import SPEC, d, e, i, j, k, q, v

s = where(j <= i + j.size - i.size, fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size), -3.4028235e38)


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
EXPECTED = ("step m", "after element 0 (s = -3.402823e+38)", "one element at a time")
