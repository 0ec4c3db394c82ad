"""Both factors are taken from the stale means."""

from refold import claim
from refold.examples.covariance import SPEC, i, j, x, y


def step(a, c):
    n = a.n + 1
    dx, dy = c.x - a.mx, c.y - a.my
    return {"n": n, "mx": a.mx + dx / n, "my": a.my + dy / n, "C": a.C + dx * dy}


CLAIM = claim(
    SPEC,
    element={"x": x[i, j], "y": y[i, j]},
    init={"n": 0, "mx": 0, "my": 0, "C": 0},
    step=step,
    finish=lambda a: a.C / a.n,
)
EXPECTED = ("step C", "after element 0 (x = 1, y = 1)", "one element at a time")
