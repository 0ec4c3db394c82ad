"""The log-sum-exp carried as one number."""

from refold import claim, exp, log, oo
from refold.examples.logsumexp import SPEC, i, j, x

CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"lse": -oo},
    step=lambda a, c: {"lse": log(exp(a.lse) + exp(c.x))},
    merge=lambda a, b: {"lse": log(exp(a.lse) + exp(b.lse))},
    finish=lambda a: a.lse,
)
