"""The mask is applied although the pipeline has none: causal=False is ignored (triton#4541)."""

from refold import claim, exp, finite_or, maximum, oo, where
from refold.examples.attention import SPEC, e, i, j, s, v

masked = where(j <= i, s, -oo)


def step(a, c):
    m = maximum(a.m, c.s)
    at = finite_or(m, 0)
    return {"m": m, "l": a.l * exp(a.m - at) + exp(c.s - at), "o": a.o * exp(a.m - at) + exp(c.s - at) * c.v}


CLAIM = claim(
    SPEC,
    element={"s": masked, "v": v[j, e]},
    init={"m": -oo, "l": 0, "o": 0},
    step=step,
    finish=lambda a: a.o / a.l,
)
EXPECTED = ("step l", "after element 1 (s = -inf)", "one element at a time")
