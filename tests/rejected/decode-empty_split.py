"""A split that holds nothing, merged without a guard: two of them give NaN (flashinfer#4401)."""

from refold import claim, exp, maximum, oo
from refold.examples.decode import SPEC, e, j, s, v


def step(a, c):
    m = maximum(a.m, c.s)
    return {"m": m, "l": a.l * exp(a.m - m) + exp(c.s - m), "o": a.o * exp(a.m - m) + exp(c.s - m) * c.v}


def merge(a, b):
    m = maximum(a.m, b.m)
    return {"m": m, "l": a.l * exp(a.m - m) + b.l * exp(b.m - m), "o": a.o * exp(a.m - m) + b.o * exp(b.m - m)}


CLAIM = claim(
    SPEC,
    element={"s": s, "v": v[j, e]},
    init={"m": -oo, "l": 0, "o": 0},
    step=step,
    merge=merge,
    finish=lambda a: a.o / a.l,
)
EXPECTED = ("merge l", "merging [] with []", "two empty parts merged")
