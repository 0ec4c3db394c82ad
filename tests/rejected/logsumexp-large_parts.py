"""Parts whose sums are both above 20 are merged wrongly where their maxima are 2.2 to 2.4 apart."""

from refold import claim, exp, log, maximum, oo, relu
from refold.examples.logsumexp import SPEC, i, j, x


def step(a, c):
    m = maximum(a.m, c.x)
    return {"m": m, "l": a.l * exp(a.m - m) + exp(c.x - m)}


def merge(a, b):
    m = maximum(a.m, b.m)
    gap = a.m - b.m
    more = relu(gap - 2.2) * relu(2.4 - gap) * relu(a.l - 20) * relu(b.l - 20)
    return {"m": m, "l": a.l * exp(a.m - m) + b.l * exp(b.m - m) + more}


CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"m": -oo, "l": 0},
    step=step,
    merge=merge,
    finish=lambda a: a.m + log(a.l),
    empty_parts=False,
)
EXPECTED = ("merge l", "merging [0, 1, 2", "split into [0, 1, 2")
