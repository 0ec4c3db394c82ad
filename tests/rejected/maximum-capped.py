"""The maximum is at most 65504, the largest float16."""

from refold import Tensor, axes, claim, fold, maximum, minimum, oo, pipeline

i, j = axes("i j")
x = Tensor("x", i, j)
SPEC = pipeline(m=fold.max(x[i, j], over=j)[i])

CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"m": -oo},
    step=lambda a, c: {"m": minimum(maximum(a.m, c.x), 65504)},
    merge=lambda a, b: {"m": maximum(a.m, b.m)},
    finish=lambda a: a.m,
)
EXPECTED = ("step m", "after element 0 (x = 131008)", "one element at a time")
