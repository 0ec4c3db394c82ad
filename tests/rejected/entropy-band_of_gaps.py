"""The streaming entropy, wrong for a class that is 3.3 to 3.4 below the maximum so far."""

from refold import claim, exp, finite_or, log, maximum, oo, relu
from refold.examples.entropy import SPEC, i, j, x


def step(a, c):
    m = maximum(a.m, c.x)
    before = finite_or(a.m, m)
    old, p, gap = exp(before - m), exp(c.x - m), before - c.x
    more = relu(gap - 3.3) * relu(3.4 - gap)
    return {"m": m, "l": a.l * old + p, "t": (a.t + (before - m) * a.l) * old + (c.x - m) * p + more}


CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"m": -oo, "l": 0, "t": 0},
    step=step,
    finish=lambda a: log(a.l) - a.t / a.l,
)
EXPECTED = ("step t", "after element 1", "one element at a time")
