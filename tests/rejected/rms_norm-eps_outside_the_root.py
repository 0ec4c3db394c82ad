"""eps is added to the root for its radicand."""

from refold import claim, sqrt
from refold.examples.rms_norm import SPEC, eps, i, j, weight, x

CLAIM = claim(
    SPEC,
    element={"x": x[i, j], "w": weight[j]},
    init={"n": 0, "q": 0},
    step=lambda a, c: {"n": a.n + 1, "q": a.q + c.x**2},
    finish=lambda a, c: c.w * c.x / (sqrt(a.q / a.n) + eps),
)
EXPECTED = ("finish y", "at the end", "one element at a time")
