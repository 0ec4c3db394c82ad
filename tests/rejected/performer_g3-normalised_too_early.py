"""Every term is divided by the sum so far, which is not the finished one."""

from refold import claim, exp, maximum, oo
from refold.examples.performer_g3 import SPEC, a, b, c1, c2, c3, i, j


def step(x, c):
    m = maximum(x.m, c.u)
    l = x.l * exp(x.m - m) + exp(c.u - m - c.w)
    return {"m": m, "l": l, "o": x.o + a * c.f * exp(c.u - m - c.w) / l}


CLAIM = claim(
    SPEC,
    element={"u": c1[i, j], "w": b * c2[i, j] * c3[i, j], "f": c3[i, j]},
    init={"m": -oo, "l": 0, "o": 0},
    step=step,
    finish=lambda x: x.o,
)
EXPECTED = ("step o", "after element 1 (u = 0, w = -0, f = 0)", "one element at a time")
