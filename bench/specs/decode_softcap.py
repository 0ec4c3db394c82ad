"""One query row of grouped heads over a cache with capped scores: Neptune's decode softcap."""

from refold import Scalar, Tensor, axes, exp, fold, pipeline, sqrt, tanh

h, g, j, d, e = axes("h g j d e")
q, k, v = Tensor("q", h, d), Tensor("k", g, j, d), Tensor("v", g, j, e)
group = h // (h.size // g.size)
cap = Scalar("cap", positive=True)
s = fold.sum(q[h, d] * k[group, j, d], over=d) / sqrt(d.size)
s = cap * tanh(s / cap)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[group, j, e], over=j) / fold.sum(p, over=j))[h, e])
