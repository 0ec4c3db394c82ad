"""The bias b is left out of the score."""

from refold import claim, fold, sigmoid, sqrt
from refold.examples.sigmoid_attention import SPEC, d, e, i, j, k, q, v

CLAIM = claim(
    SPEC,
    element={"s": fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size), "v": v[j, e]},
    init={"o": 0},
    step=lambda a, c: {"o": a.o + sigmoid(c.s) * c.v},
    merge=lambda a, b: {"o": a.o + b.o},
    finish=lambda a: a.o,
)
EXPECTED = ("step o", "after element 0 (s = 0, v = 1)", "one element at a time")
