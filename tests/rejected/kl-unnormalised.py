"""The second distribution's logits are taken for its logarithms."""

from refold import claim, exp, finite_or, log
from refold.examples.kl import SPEC, i, j, x, y


def step(a, c):
    return {"p": a.p + exp(c.x), "t": a.t + exp(c.x) * (c.x - c.y)}


def finish(a):
    # Of no element the sums are 0, and so is the divergence.
    p = finite_or(log(a.p), 0)
    return a.t * exp(-p) - p


CLAIM = claim(
    SPEC,
    element={"x": x[i, j], "y": y[i, j]},
    init={"p": 0, "t": 0},
    step=step,
    finish=finish,
)
EXPECTED = ("finish kl", "at the end", "one element at a time")
