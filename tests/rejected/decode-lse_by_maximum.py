"""Two splits merge to the right output and keep the larger log-sum-exp for their own: the third one weighs too much."""

from refold import claim, exp, log, maximum, oo
from refold.examples.decode import SPEC, e, j, s, v


def both(a, b):
    m = maximum(a, b)
    return m + log(exp(a - m) + exp(b - m))


def step(a, c):
    lse = both(a.lse, c.s)
    return {"lse": lse, "o": a.o * exp(a.lse - lse) + c.v * exp(c.s - lse)}


def merge(a, b):
    lse = both(a.lse, b.lse)
    return {"lse": maximum(a.lse, b.lse), "o": a.o * exp(a.lse - lse) + b.o * exp(b.lse - lse)}


CLAIM = claim(
    SPEC,
    element={"s": s, "v": v[j, e]},
    init={"lse": -oo, "o": 0},
    step=step,
    merge=merge,
    finish=lambda a: a.o,
    empty_parts=False,
)
EXPECTED = ("merge lse", "merging [0] with [1]", "split into three parts, then merged")
