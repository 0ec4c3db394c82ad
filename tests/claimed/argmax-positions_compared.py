"""The lower position of equal values, whatever the order of the parts."""

from refold import claim, maximum, oo, where
from refold.examples.argmax import SPEC, i, j, x


def pick(m, at, other, to):
    first = (m > other) | ((m == other) & ((to < 0) | ((at >= 0) & (at <= to))))
    return {"m": maximum(m, other), "at": where(first, at, to)}


CLAIM = claim(
    SPEC,
    element={"x": x[i, j], "at": j},
    init={"m": -oo, "at": -1},
    step=lambda a, c: pick(a.m, a.at, c.x, c.at),
    merge=lambda a, b: pick(a.m, a.at, b.m, b.at),
    finish=lambda a: {"at": a.at, "top": a.m},
)
