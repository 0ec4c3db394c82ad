"""Every part subtracts the target's logit, and the merge adds them."""

from refold import claim, exp, finite_or, log, maximum, oo, where
from refold.examples.cross_entropy import IGNORE, SPEC, c, i, target, x

hit = where(target[i] != IGNORE, x[i, target[i]], 0)


def step(a, b):
    m = maximum(a.m, b.x)
    return {"m": m, "l": a.l * exp(a.m - m) + exp(b.x - m), "t": a.t}


def merge(a, b):
    m = maximum(a.m, b.m)
    at = finite_or(m, 0)
    return {"m": m, "l": a.l * exp(a.m - at) + b.l * exp(b.m - at), "t": a.t + b.t}


CLAIM = claim(
    SPEC,
    element={"x": x[i, c]},
    init={"m": -oo, "l": 0, "t": hit},
    step=step,
    merge=merge,
    finish=lambda a: where(target[i] != IGNORE, a.m + log(a.l) - a.t, 0),
    empty_parts=False,
)
EXPECTED = ("claim", None, "then merged")
