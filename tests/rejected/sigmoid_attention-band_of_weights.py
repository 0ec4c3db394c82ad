"""A weight between 0.61 and 0.62 is wrong."""

from refold import claim, relu, sigmoid
from refold.examples.sigmoid_attention import SPEC, e, j, s, v


def weight(s):
    return sigmoid(s) + relu(sigmoid(s) - 0.61) * relu(0.62 - sigmoid(s))


CLAIM = claim(
    SPEC,
    element={"s": s, "v": v[j, e]},
    init={"o": 0},
    step=lambda a, c: {"o": a.o + weight(c.s) * c.v},
    merge=lambda a, b: {"o": a.o + b.o},
    finish=lambda a: a.o,
)
EXPECTED = ("step o", "after element 0", "one element at a time")
