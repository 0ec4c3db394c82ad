"""Sums of weights are kept at 1 or more, as they are where a class is; scores are taken less no maximum in t."""

from refold import claim, exp, log, maximum, oo, where
from refold.examples.kl import SPEC, i, j, x, y


def step(a, c):
    m, n = maximum(a.m, c.x), maximum(a.n, c.y)
    w, p = exp(a.m - m), exp(c.x - m)
    return {"m": m, "l": a.l * w + p, "n": n, "k": a.k * exp(a.n - n) + exp(c.y - n), "t": a.t * w + p * (c.x - c.y)}


def finish(a):
    l, k = maximum(a.l, 1), maximum(a.k, 1)
    return where(a.l > 0, a.t / l - (a.m + log(l)) + a.n + log(k), 0)


CLAIM = claim(
    SPEC,
    element={"x": x[i, j], "y": y[i, j]},
    init={"m": -oo, "l": 0, "n": -oo, "k": 0, "t": 0},
    step=step,
    finish=finish,
)
