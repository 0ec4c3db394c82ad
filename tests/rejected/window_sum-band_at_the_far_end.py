"""A number at the far end of a window of nine is added wrongly where it is between 7.1 and 7.3."""

from refold import Tensor, axes, claim, fold, pipeline, relu, where

i, j = axes("i j")
x = Tensor("x", i, j)
SPEC = pipeline(y=fold.sum(where((j <= i) & (i - j < 9), x[i, j], 0), over=j)[i])

CLAIM = claim(
    SPEC,
    element={"s": where((j <= i) & (i - j < 9), x[i, j], 0), "far": where(i - j < 8, 0, 1)},
    init={"t": 0},
    step=lambda a, c: {"t": a.t + c.s + c.far * relu(c.s - 7.1) * relu(7.3 - c.s)},
    merge=lambda a, b: {"t": a.t + b.t},
    finish=lambda a: a.t,
)
EXPECTED = ("step t", "after element", "one element at a time")
