"""The log-sum-exp of two parts is taken for the larger one."""

from refold import claim, exp, log, maximum, oo
from refold.examples.logsumexp import SPEC, i, j, x

CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"lse": -oo},
    step=lambda a, c: {"lse": log(exp(a.lse) + exp(c.x))},
    merge=lambda a, b: {"lse": maximum(a.lse, b.lse)},
    finish=lambda a: a.lse,
)
EXPECTED = ("merge lse", "merging [0] with [1]", "then merged")
