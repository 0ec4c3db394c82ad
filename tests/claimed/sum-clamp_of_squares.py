"""A sum of squares that is kept from falling below 0, which it never does."""

from refold import Tensor, axes, claim, fold, maximum, pipeline

i, j = axes("i j")
x = Tensor("x", i, j)
SPEC = pipeline(t=fold.sum(x[i, j] ** 2, over=j)[i])

CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"t": 0},
    step=lambda a, c: {"t": maximum(a.t + c.x**2, 0)},
    merge=lambda a, b: {"t": a.t + b.t},
    finish=lambda a: a.t,
)
