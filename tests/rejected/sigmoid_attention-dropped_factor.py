"""The sigmoid of the negative score."""

from refold import claim, sigmoid
from refold.examples.sigmoid_attention import SPEC, e, j, s, v

CLAIM = claim(
    SPEC,
    element={"s": s, "v": v[j, e]},
    init={"o": 0},
    step=lambda a, c: {"o": a.o + sigmoid(-c.s) * c.v},
    merge=lambda a, b: {"o": a.o + b.o},
    finish=lambda a: a.o,
)
EXPECTED = ("step o", "after element 0 (s = 1, v = 1)", "one element at a time")
