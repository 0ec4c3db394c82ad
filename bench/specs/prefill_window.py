"""Capped scores within a causal window: Neptune's prefill windowed, Gemma 2's local layers."""

from refold import Scalar, Tensor, axes, exp, fold, oo, pipeline, sqrt, tanh, where

h, g, i, j, d, e = axes("h g i j d e")
q, k, v = Tensor("q", h, i, d), Tensor("k", g, j, d), Tensor("v", g, j, e)
group = h // (h.size // g.size)
cap = Scalar("cap", positive=True)
window = Scalar("window", integer=True, positive=True)
s = fold.sum(q[h, i, d] * k[group, j, d], over=d) / sqrt(d.size)
s = where((j <= i) & (i - j < window), cap * tanh(s / cap), -oo)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[group, j, e], over=j) / fold.sum(p, over=j))[h, i, e], empty=0)
