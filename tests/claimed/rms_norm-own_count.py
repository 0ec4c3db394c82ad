"""The positions are counted in the loop, which the derived form does not do: it knows their number."""

from refold import claim, sqrt
from refold.examples.rms_norm import SPEC, eps, i, j, weight, x

CLAIM = claim(
    SPEC,
    element={"x": x[i, j], "w": weight[j]},
    init={"n": 0, "q": 0},
    step=lambda a, c: {"n": a.n + 1, "q": a.q + c.x**2},
    merge=lambda a, b: {"n": a.n + b.n, "q": a.q + b.q},
    finish=lambda a, c: c.w * c.x / sqrt(a.q / a.n + eps),
)
