"""Pébay's merge of M4 with n1^2 + n1 n2 + n2^2 for n1^2 - n1 n2 + n2^2."""

from refold import claim
from refold.examples.kurtosis import SPEC, i, j, x


def step(a, c):
    n = a.n + 1
    d = c.x - a.mean
    t = d * d / n * a.n
    return {
        "n": n,
        "mean": a.mean + d / n,
        "M2": a.M2 + t,
        "M3": a.M3 + t * d * (n - 2) / n - 3 * d * a.M2 / n,
        "M4": a.M4 + t * d**2 * (n**2 - 3 * n + 3) / n**2 + 6 * d**2 * a.M2 / n**2 - 4 * d * a.M3 / n,
    }


def merge(a, b):
    n = a.n + b.n
    d = b.mean - a.mean
    return {
        "n": n,
        "mean": a.mean + d * b.n / n,
        "M2": a.M2 + b.M2 + d**2 * a.n * b.n / n,
        "M3": a.M3 + b.M3 + d**3 * a.n * b.n * (a.n - b.n) / n**2 + 3 * d * (a.n * b.M2 - b.n * a.M2) / n,
        "M4": a.M4
        + b.M4
        + d**4 * a.n * b.n * (a.n**2 + a.n * b.n + b.n**2) / n**3
        + 6 * d**2 * (a.n**2 * b.M2 + b.n**2 * a.M2) / n**2
        + 4 * d * (a.n * b.M3 - b.n * a.M3) / n,
    }


CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"n": 0, "mean": 0, "M2": 0, "M3": 0, "M4": 0},
    step=step,
    merge=merge,
    finish=lambda a: a.n * a.M4 / a.M2**2 - 3,
    empty_parts=False,
)
EXPECTED = ("merge M4", "merging [0] with [1]", "then merged")
