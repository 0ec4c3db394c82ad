"""The running maximum starts at -100: scores far below it weigh nothing."""

from refold import claim, exp, maximum
from refold.examples.causal_attention import SPEC, e, j, s, v


def step(a, c):
    m = maximum(a.m, c.s)
    return {"m": m, "l": a.l * exp(a.m - m) + exp(c.s - m), "o": a.o * exp(a.m - m) + exp(c.s - m) * c.v}


CLAIM = claim(
    SPEC,
    element={"s": s, "v": v[j, e]},
    init={"m": -100, "l": 0, "o": 0},
    step=step,
    finish=lambda a: a.o / a.l,
)
EXPECTED = ("init m", "of no element", "one element at a time")
