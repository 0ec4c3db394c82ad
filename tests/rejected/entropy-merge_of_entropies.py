"""Parts carry finished entropies, and the merge takes their mean by mass: the entropy of the masses is missing."""

from refold import claim, exp, log
from refold.examples.entropy import SPEC, i, j, x

CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"l": 0, "h": 0},
    step=lambda a, c: {
        "l": a.l + exp(c.x),
        "h": log(a.l + exp(c.x)) - (a.l * (log(a.l) - a.h) + exp(c.x) * c.x) / (a.l + exp(c.x)),
    },
    merge=lambda a, b: {"l": a.l + b.l, "h": (a.l * a.h + b.l * b.h) / (a.l + b.l)},
    finish=lambda a: a.h,
    empty_parts=False,
)
EXPECTED = ("step h", "after element 0 (x = 0)", "one element at a time")
