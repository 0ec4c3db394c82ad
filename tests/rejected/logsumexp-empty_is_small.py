"""The empty log-sum-exp is -1000, a number that many kernels take for -oo: it shows over an empty axis alone."""

from refold import claim, exp, log
from refold.examples.logsumexp import SPEC, i, j, x

CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"lse": -1000},
    step=lambda a, c: {"lse": log(exp(a.lse) + exp(c.x))},
    finish=lambda a: a.lse,
)
EXPECTED = ("finish y", "at the end", "one element at a time")
