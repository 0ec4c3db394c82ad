"""The sink enters into the sum at each merge."""

from refold import claim, exp, maximum
from refold.examples.attention_sink import SPEC, e, h, j, s, sink, v


def step(a, c):
    m = maximum(a.m, c.s)
    return {"m": m, "l": a.l * exp(a.m - m) + exp(c.s - m), "o": a.o * exp(a.m - m) + exp(c.s - m) * c.v}


def merge(a, b):
    m = maximum(a.m, maximum(b.m, sink[h]))
    return {
        "m": m,
        "l": a.l * exp(a.m - m) + b.l * exp(b.m - m) + exp(sink[h] - m),
        "o": a.o * exp(a.m - m) + b.o * exp(b.m - m),
    }


CLAIM = claim(
    SPEC,
    element={"s": s, "v": v[h, j, e]},
    init={"m": sink[h], "l": 1, "o": 0},
    step=step,
    merge=merge,
    finish=lambda a: a.o / a.l,
)
EXPECTED = ("merge l", "merging [0] with [1]", "split into [0] and [1], then merged")
