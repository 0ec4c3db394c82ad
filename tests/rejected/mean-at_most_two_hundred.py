"""A row of more than 200 is divided by 200."""

from refold import Tensor, axes, claim, fold, minimum, pipeline

i, j = axes("i j")
x = Tensor("x", i, j)
SPEC = pipeline(t=(fold.sum(x[i, j], over=j) / j.size)[i])

CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"n": 0, "t": 0},
    step=lambda a, c: {"n": a.n + 1, "t": a.t + c.x},
    merge=lambda a, b: {"n": a.n + b.n, "t": a.t + b.t},
    finish=lambda a: a.t / minimum(a.n, 200),
)
EXPECTED = ("finish t", "at the end", "one element at a time")
