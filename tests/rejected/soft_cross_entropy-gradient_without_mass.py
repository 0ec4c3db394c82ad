"""The gradient for soft targets drops their mass: softmax - p for (sum p) softmax - p (NeMo-Automodel#2428)."""

from refold import Tensor, axes, claim, exp, fold, maximum, oo, pipeline

i, j = axes("i j")
x, p = Tensor("x", i, j), Tensor("p", i, j)
z = exp(x[i, j] - fold.max(x[i, j], over=j))
SPEC = pipeline(g=(fold.sum(p[i, j], over=j) * z / fold.sum(z, over=j) - p[i, j])[i, j])


def step(a, c):
    m = maximum(a.m, c.x)
    return {"m": m, "l": a.l * exp(a.m - m) + exp(c.x - m)}


CLAIM = claim(
    SPEC,
    element={"x": x[i, j], "p": p[i, j]},
    init={"m": -oo, "l": 0},
    step=step,
    finish=lambda a, c: exp(c.x - a.m) / a.l - c.p,
)
EXPECTED = ("finish g", "at the end", "one element at a time")
