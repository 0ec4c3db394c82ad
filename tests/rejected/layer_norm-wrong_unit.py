"""Counting starts at 1."""

from refold import claim, sqrt
from refold.examples.layer_norm import SPEC, bias, eps, i, j, weight, x


def step(a, c):
    n = a.n + 1
    d = c.x - a.mean
    mean = a.mean + d / n
    return {"n": n, "mean": mean, "M2": a.M2 + d * (c.x - mean)}


def merge(a, b):
    n = a.n + b.n
    d = b.mean - a.mean
    return {"n": n, "mean": a.mean + d * b.n / n, "M2": a.M2 + b.M2 + d**2 * a.n * b.n / n}


CLAIM = claim(
    SPEC,
    element={"x": x[i, j], "w": weight[j], "b": bias[j]},
    init={"n": 1, "mean": 0, "M2": 0},
    step=step,
    merge=merge,
    finish=lambda a, c: c.w * (c.x - a.mean) / sqrt(a.M2 / a.n + eps) + c.b,
    empty_parts=False,
)
EXPECTED = ("init n", "of no element", "one element at a time")
