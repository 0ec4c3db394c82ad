"""Split sigmoid attention merged by the softmax law (FlashInfer PR 535)."""

from refold import claim, exp, log, maximum, sigmoid
from refold.examples.sigmoid_attention import SPEC, e, j, s, v


def merge(a, b):
    m = maximum(a.lse, b.lse)
    x, y = exp(a.lse - m), exp(b.lse - m)
    return {"lse": m + log(x + y), "o": (a.o * x + b.o * y) / (x + y)}


CLAIM = claim(
    SPEC,
    element={"s": s, "v": v[j, e]},
    init={"lse": 0, "o": 0},
    step=lambda a, c: {"lse": log(exp(a.lse) + exp(c.s)), "o": a.o + sigmoid(c.s) * c.v},
    merge=merge,
    finish=lambda a: a.o,
    empty_parts=False,
)
EXPECTED = ("merge o", "merging [0] with [1]", "then merged")
