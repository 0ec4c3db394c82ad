"""Parts as FlashDecoding stores them: an output divided by its sum, and the log of the sum."""

from refold import claim, exp, log, maximum, oo
from refold.examples.attention import SPEC, e, j, s, v


def join(o, lse, p, other):
    m = maximum(lse, other)
    a, b = exp(lse - m), exp(other - m)
    return {"o": (o * a + p * b) / (a + b), "lse": m + log(a + b)}


CLAIM = claim(
    SPEC,
    element={"s": s, "v": v[j, e]},
    init={"o": 0, "lse": -oo},
    step=lambda a, c: join(a.o, a.lse, c.v, c.s),
    merge=lambda a, b: join(a.o, a.lse, b.o, b.lse),
    finish=lambda a: a.o,
    empty_parts=False,
)
