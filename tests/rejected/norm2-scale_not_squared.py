"""The sum of squares relative to a running scale is corrected by the ratio of scales for its square (LAPACK nrm2)."""

from refold import Tensor, absolute, axes, claim, fold, maximum, pipeline, sqrt

i, j = axes("i j")
x = Tensor("x", i, j)
SPEC = pipeline(y=sqrt(fold.sum(x[i, j] ** 2, over=j))[i])


def step(a, c):
    r = maximum(a.r, absolute(c.x))
    return {"r": r, "t": a.t * a.r / r + (c.x / r) ** 2}


CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"r": 1, "t": 0},
    step=step,
    finish=lambda a: a.r * sqrt(a.t),
)
EXPECTED = ("step r", "after element 1 (x = 3)", "one element at a time")
