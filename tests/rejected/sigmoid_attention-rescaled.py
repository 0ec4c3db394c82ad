"""The running rescale of softmax, where none is due."""

from refold import claim, exp, maximum, oo, sigmoid
from refold.examples.sigmoid_attention import SPEC, e, j, s, v


def step(a, c):
    m = maximum(a.m, c.s)
    return {"m": m, "o": a.o * exp(a.m - m) + sigmoid(c.s) * c.v}


CLAIM = claim(
    SPEC,
    element={"s": s, "v": v[j, e]},
    init={"m": -oo, "o": 0},
    step=step,
    finish=lambda a: a.o,
)
EXPECTED = "one element at a time"
