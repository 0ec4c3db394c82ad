"""The merge stores the last part's sum where it should add (Liger-Kernel#262)."""

from refold import claim, exp, finite_or, log
from refold.examples.kl import SPEC, i, j, x, y


def step(a, c):
    return {"p": a.p + exp(c.x), "q": a.q + exp(c.y), "t": a.t + exp(c.x) * (c.x - c.y)}


def finish(a):
    # Of no element the sums are 0, and so is the divergence.
    p, q = finite_or(log(a.p), 0), finite_or(log(a.q), 0)
    return a.t * exp(-p) - p + q


CLAIM = claim(
    SPEC,
    element={"x": x[i, j], "y": y[i, j]},
    init={"p": 0, "q": 0, "t": 0},
    step=step,
    merge=lambda a, b: {"p": a.p + b.p, "q": a.q + b.q, "t": b.t},
    finish=finish,
)
EXPECTED = ("merge t", "merging [0] with [1]", "then merged")
