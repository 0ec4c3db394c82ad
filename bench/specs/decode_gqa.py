"""One query row of grouped heads over a cache: Neptune's decode GQA."""

from refold import Tensor, axes, exp, fold, pipeline, sqrt

h, g, j, d, e = axes("h g j d e")
q, k, v = Tensor("q", h, d), Tensor("k", g, j, d), Tensor("v", g, j, e)
group = h // (h.size // g.size)
s = fold.sum(q[h, d] * k[group, j, d], over=d) / sqrt(d.size)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[group, j, e], over=j) / fold.sum(p, over=j))[h, e])
