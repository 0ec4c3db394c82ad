"""The log-sum-exp of no element is 0, as if it were a sum: every part counts one exp(0)."""

from refold import claim, exp, log
from refold.examples.logsumexp import SPEC, i, j, x

CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"lse": 0},
    step=lambda a, c: {"lse": log(exp(a.lse) + exp(c.x))},
    finish=lambda a: a.lse,
)
EXPECTED = ("finish y", "at the end", "one element at a time")
