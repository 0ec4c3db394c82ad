"""The divergence of q from p for that of p from q."""

from refold import claim, exp, finite_or, log
from refold.examples.kl import SPEC, i, j, x, y


def step(a, c):
    return {"p": a.p + exp(c.x), "q": a.q + exp(c.y), "t": a.t + exp(c.y) * (c.y - c.x)}


def finish(a):
    # Of no element the sums are 0, and so is the divergence.
    p, q = finite_or(log(a.p), 0), finite_or(log(a.q), 0)
    return a.t * exp(-q) - q + p


CLAIM = claim(
    SPEC,
    element={"x": x[i, j], "y": y[i, j]},
    init={"p": 0, "q": 0, "t": 0},
    step=step,
    finish=finish,
)
EXPECTED = ("claim", None, "one element at a time")
