"""One query row with linear biases, at a position of its own: Neptune's decode ALiBi."""

from refold import Scalar, Tensor, axes, exp, fold, pipeline, sqrt

h, j, d, e = axes("h j d e")
q, k, v = Tensor("q", h, d), Tensor("k", h, j, d), Tensor("v", h, j, e)
slope, position = Tensor("slope", h), Scalar("position", integer=True)
s = fold.sum(q[h, d] * k[h, j, d], over=d) / sqrt(d.size) - slope[h] * (position - j)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[h, j, e], over=j) / fold.sum(p, over=j))[h, e])
