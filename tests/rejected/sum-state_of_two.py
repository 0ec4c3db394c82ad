"""Two sums of which only the difference means something; it is wrong for a number between 5.25 and 5.5."""

from refold import Tensor, axes, claim, fold, pipeline, relu

i, j = axes("i j")
x = Tensor("x", i, j)
SPEC = pipeline(t=fold.sum(x[i, j], over=j)[i])

CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"p": 0, "q": 0},
    step=lambda a, c: {"p": a.p + c.x + c.x**3, "q": a.q + c.x**3 + relu(c.x - 5.25) * relu(5.5 - c.x)},
    finish=lambda a: a.p - a.q,
)
EXPECTED = ("step p", "after element 0", "one element at a time")
