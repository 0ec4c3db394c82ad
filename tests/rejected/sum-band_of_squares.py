"""A number whose square is between 5000 and 5100 is added wrongly."""

from refold import Tensor, axes, claim, fold, pipeline, relu

i, j = axes("i j")
x = Tensor("x", i, j)
SPEC = pipeline(t=fold.sum(x[i, j], over=j)[i])

CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"t": 0},
    step=lambda a, c: {"t": a.t + c.x + relu(c.x**2 - 5000) * relu(5100 - c.x**2)},
    merge=lambda a, b: {"t": a.t + b.t},
    finish=lambda a: a.t,
)
EXPECTED = ("step t", "after element 0", "one element at a time")
