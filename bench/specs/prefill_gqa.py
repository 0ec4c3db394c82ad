"""Causal grouped-query attention: Neptune's prefill GQA."""

from refold import Tensor, axes, exp, fold, oo, pipeline, sqrt, where

h, g, i, j, d, e = axes("h g i j d e")
q, k, v = Tensor("q", h, i, d), Tensor("k", g, j, d), Tensor("v", g, j, e)
group = h // (h.size // g.size)
s = fold.sum(q[h, i, d] * k[group, j, d], over=d) / sqrt(d.size)
s = where(j <= i, s, -oo)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[group, j, e], over=j) / fold.sum(p, over=j))[h, i, e], empty=0)
