"""Parts with an output divided by its sum and the log of the sum; what is divided by is kept above 1e-30, as it is."""

from refold import claim, exp, finite_or, log, maximum, oo
from refold.examples.attention import SPEC, e, j, s, v


def join(o, lse, p, other):
    m = finite_or(maximum(lse, other), 0)
    a, b = exp(lse - m), exp(other - m)
    return {"o": (o * a + p * b) / maximum(a + b, 1e-30), "lse": m + log(a + b)}


CLAIM = claim(
    SPEC,
    element={"s": s, "v": v[j, e]},
    init={"o": 0, "lse": -oo},
    step=lambda a, c: join(a.o, a.lse, c.v, c.s),
    merge=lambda a, b: join(a.o, a.lse, b.o, b.lse),
    finish=lambda a: a.o,
    empty_parts=False,
)
