"""The online log-sum-exp with what it gives of no class written out: the maximum, which is -oo there."""

from refold import claim, exp, finite_or, log, maximum, oo
from refold.examples.logsumexp import SPEC, i, j, x


def step(a, c):
    m = maximum(a.m, c.x)
    at = finite_or(m, 0)
    return {"m": m, "l": a.l * exp(a.m - at) + exp(c.x - at)}


CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"m": -oo, "l": 0},
    step=step,
    finish=lambda a: finite_or(a.m, 0) + log(a.l),
)
