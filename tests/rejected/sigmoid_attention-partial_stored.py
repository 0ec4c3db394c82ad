"""The last part's sum is stored over the others (Liger-Kernel#262)."""

from refold import claim, sigmoid
from refold.examples.sigmoid_attention import SPEC, e, j, s, v

CLAIM = claim(
    SPEC,
    element={"s": s, "v": v[j, e]},
    init={"o": 0},
    step=lambda a, c: {"o": a.o + sigmoid(c.s) * c.v},
    merge=lambda a, b: {"o": b.o},
    finish=lambda a: a.o,
    empty_parts=False,
)
EXPECTED = ("merge o", "merging [0] with [1]", "then merged")
