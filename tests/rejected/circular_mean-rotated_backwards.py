"""Both sums are rotated the wrong way."""

from refold import claim, cos, sin
from refold.examples.circular_mean import SPEC, i, j, x


def step(a, c):
    n = a.n + 1
    mean = a.mean + (c.x - a.mean) / n
    t, u = mean - a.mean, c.x - mean
    return {"n": n, "mean": mean, "c": a.c * cos(t) - a.s * sin(t) + cos(u), "s": a.s * cos(t) + a.c * sin(t) + sin(u)}


CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"n": 0, "mean": 0, "c": 0, "s": 0},
    step=step,
    finish=lambda a: a.c / a.n,
)
EXPECTED = ("step c", "after element 2 (x = 0)", "one element at a time")
