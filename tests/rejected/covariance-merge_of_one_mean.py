"""The merge moves by the square of one distance for the product of both."""

from refold import claim
from refold.examples.covariance import SPEC, i, j, x, y


def step(a, c):
    n = a.n + 1
    mx, my = a.mx + (c.x - a.mx) / n, a.my + (c.y - a.my) / n
    return {"n": n, "mx": mx, "my": my, "C": a.C + (c.x - a.mx) * (c.y - my)}


def merge(a, b):
    n = a.n + b.n
    dx, dy = b.mx - a.mx, b.my - a.my
    return {
        "n": n,
        "mx": a.mx + dx * b.n / n,
        "my": a.my + dy * b.n / n,
        "C": a.C + b.C + dx**2 * a.n * b.n / n,
    }


CLAIM = claim(
    SPEC,
    element={"x": x[i, j], "y": y[i, j]},
    init={"n": 0, "mx": 0, "my": 0, "C": 0},
    step=step,
    merge=merge,
    finish=lambda a: a.C / a.n,
    empty_parts=False,
)
EXPECTED = ("merge C", "merging [0] with [1]", "then merged")
