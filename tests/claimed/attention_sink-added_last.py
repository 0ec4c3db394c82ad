"""The sink enters at the end, into the sum alone."""

from refold import claim, exp, finite_or, maximum, oo
from refold.examples.attention_sink import SPEC, e, h, j, s, sink, v


def step(a, c):
    m = maximum(a.m, c.s)
    return {"m": m, "l": a.l * exp(a.m - m) + exp(c.s - m), "o": a.o * exp(a.m - m) + exp(c.s - m) * c.v}


def merge(a, b):
    m = maximum(a.m, b.m)
    at = finite_or(m, 0)
    return {"m": m, "l": a.l * exp(a.m - at) + b.l * exp(b.m - at), "o": a.o * exp(a.m - at) + b.o * exp(b.m - at)}


def finish(a):
    m = maximum(a.m, sink[h])
    return a.o * exp(a.m - m) / (a.l * exp(a.m - m) + exp(sink[h] - m))


CLAIM = claim(
    SPEC,
    element={"s": s, "v": v[h, j, e]},
    init={"m": -oo, "l": 0, "o": 0},
    step=step,
    merge=merge,
    finish=finish,
)
