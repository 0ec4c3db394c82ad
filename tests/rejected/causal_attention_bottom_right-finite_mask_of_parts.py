"""A part that sees nothing keeps the maximum -5e4 that it began with: its row is 0/0 (flashinfer#4267, #4401)."""

from refold import claim, exp, maximum
from refold.examples.causal_attention_bottom_right import SPEC, e, j, s, v


def step(a, c):
    m = maximum(a.m, c.s)
    return {"m": m, "l": a.l * exp(a.m - m) + exp(c.s - m), "o": a.o * exp(a.m - m) + exp(c.s - m) * c.v}


CLAIM = claim(
    SPEC,
    element={"s": s, "v": v[j, e]},
    init={"m": -50000, "l": 0, "o": 0},
    step=step,
    finish=lambda a: a.o / a.l,
)
EXPECTED = ("init m", "of no element", "one element at a time")
