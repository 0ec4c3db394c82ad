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
EXPECTED = ("step o", "after element 1 (s = 0, v = 0)", "one element at a time")
