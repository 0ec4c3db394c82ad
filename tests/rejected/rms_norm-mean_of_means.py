"""The mean square of two parts as the mean of their mean squares."""

from refold import claim, sqrt
from refold.examples.rms_norm import SPEC, eps, i, j, weight, x

CLAIM = claim(
    SPEC,
    element={"x": x[i, j], "w": weight[j]},
    init={"n": 0, "ms": 0},
    step=lambda a, c: {"n": a.n + 1, "ms": a.ms + (c.x**2 - a.ms) / (a.n + 1)},
    merge=lambda a, b: {"n": a.n + b.n, "ms": (a.ms + b.ms) / 2},
    finish=lambda a, c: c.w * c.x / sqrt(a.ms + eps),
    empty_parts=False,
)
EXPECTED = ("step ms", "after element 0 (x = 1)", "then merged")
