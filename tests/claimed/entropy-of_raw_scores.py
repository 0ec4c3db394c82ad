"""The entropy from the sum of weighted scores, which are not taken less the maximum."""

from refold import claim, exp, log, maximum, oo
from refold.examples.entropy import SPEC, i, j, x


def step(a, c):
    m = maximum(a.m, c.x)
    old, p = exp(a.m - m), exp(c.x - m)
    return {"m": m, "l": a.l * old + p, "t": a.t * old + c.x * p}


CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"m": -oo, "l": 0, "t": 0},
    step=step,
    finish=lambda a: a.m + log(a.l) - a.t / a.l,
)
