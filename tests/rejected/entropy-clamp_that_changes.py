"""The sum of weights is clamped from below by 2, and a row of one class has 1."""

from refold import claim, exp, finite_or, log, maximum, oo
from refold.examples.entropy import SPEC, i, j, x


def step(a, c):
    m = maximum(a.m, c.x)
    old = exp(finite_or(a.m, m) - m)
    p = exp(c.x - m)
    return {"m": m, "l": a.l * old + p, "t": (a.t + (finite_or(a.m, m) - m) * a.l) * old + (c.x - m) * p}


CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"m": -oo, "l": 0, "t": 0},
    step=step,
    finish=lambda a: log(maximum(a.l, 2)) - a.t / a.l,
)
EXPECTED = ("finish h", "at the end", "one element at a time")
