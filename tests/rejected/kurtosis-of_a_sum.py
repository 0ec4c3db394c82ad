"""The excess of parts: 3 is subtracted from the sum of fourth powers over the squared variance without the length."""

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


CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"n": 0, "mean": 0, "M2": 0, "M3": 0, "M4": 0},
    step=step,
    finish=lambda a: a.M4 / a.M2**2 - 3,
)
EXPECTED = ("finish k", "at the end", "one element at a time")
