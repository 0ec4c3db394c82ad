"""The factor a is taken at every merge, and again at the end."""

from refold import claim, exp, finite_or, log, maximum, oo
from refold.examples.performer_g3 import SPEC, a, b, c1, c2, c3, i, j


def step(x, c):
    m = maximum(x.m, c.u)
    p = exp(c.u - m - c.w)
    return {"m": m, "l": x.l * exp(x.m - m) + p, "o": x.o * exp(x.m - m) + c.f * p}


def merge(x, y):
    m = maximum(x.m, y.m)
    return {
        "m": m,
        "l": x.l * exp(x.m - m) + y.l * exp(y.m - m),
        "o": a * (x.o * exp(x.m - m) + y.o * exp(y.m - m)),
    }


CLAIM = claim(
    SPEC,
    element={"u": c1[i, j], "w": b * c2[i, j] * c3[i, j], "f": c3[i, j]},
    init={"m": -oo, "l": 0, "o": 0},
    step=step,
    merge=merge,
    finish=lambda x: a * x.o * exp(-finite_or(log(x.l), 0)),
    empty_parts=False,
)
EXPECTED = ("merge o", "merging [0] with [1]", "then merged")
