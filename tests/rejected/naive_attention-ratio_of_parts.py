"""The merge adds the parts' numerators and keeps the first one's denominator."""

from refold import claim
from refold.examples.naive_attention import SPEC, e, j, p, v

CLAIM = claim(
    SPEC,
    element={"p": p, "v": v[j, e]},
    init={"l": 0, "o": 0},
    step=lambda a, c: {"l": a.l + c.p, "o": a.o + c.p * c.v},
    merge=lambda a, b: {"l": a.l, "o": a.o + b.o},
    finish=lambda a: a.o / a.l,
    empty_parts=False,
)
EXPECTED = ("merge l", "merging [0] with [1]", "then merged")
