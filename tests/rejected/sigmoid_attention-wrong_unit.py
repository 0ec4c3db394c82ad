"""The empty sum is 1."""

from refold import claim, sigmoid
from refold.examples.sigmoid_attention import SPEC, e, j, s, v

CLAIM = claim(
    SPEC,
    element={"s": s, "v": v[j, e]},
    init={"o": 1},
    step=lambda a, c: {"o": a.o + sigmoid(c.s) * c.v},
    finish=lambda a: a.o,
)
EXPECTED = ("init o", "of no element", "one element at a time")
