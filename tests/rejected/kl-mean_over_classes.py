"""The divergence of a row is divided by the number of its classes, as if it were a batch (Liger-Kernel#262)."""

from refold import claim, exp, finite_or, log
from refold.examples.kl import SPEC, i, j, x, y


def step(a, c):
    return {"n": a.n + 1, "p": a.p + exp(c.x), "q": a.q + exp(c.y), "t": a.t + exp(c.x) * (c.x - c.y)}


def finish(a):
    # Of no element the sums are 0, and so is the divergence.
    n, p, q = finite_or(log(a.n), 0), finite_or(log(a.p), 0), finite_or(log(a.q), 0)
    return (a.t * exp(-p) - p + q) * exp(-n)


CLAIM = claim(
    SPEC,
    element={"x": x[i, j], "y": y[i, j]},
    init={"n": 0, "p": 0, "q": 0, "t": 0},
    step=step,
    finish=finish,
)
EXPECTED = ("finish kl", "at the end", "one element at a time")
