"""t corrected as if its correction had rank 1: the term with l is dropped."""

from refold import claim, exp, finite_or, log, maximum, oo
from refold.examples.entropy import SPEC, i, j, x


def step(a, c):
    m = maximum(a.m, c.x)
    old = exp(finite_or(a.m, m) - m)
    p = exp(c.x - m)
    return {"m": m, "l": a.l * old + p, "t": a.t * old + (c.x - m) * p}


CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"m": -oo, "l": 0, "t": 0},
    step=step,
    finish=lambda a: log(a.l) - a.t / a.l,
)
EXPECTED = ("step t", "after element 1 (x = 1)", "one element at a time")
