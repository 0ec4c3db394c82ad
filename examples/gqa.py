"""Grouped-query attention: |h| query heads share |g| key and value heads, |h| / |g| to each.

Ainslie et al., GQA: Training Generalized Multi-Query Transformer Models from Multi-Head Checkpoints, arXiv 2305.13245.
"""

from refold import Tensor, axes, exp, fold, pipeline, sqrt
from refold.examples import show

GROUP = "attention"

h, g, i, j, d, e = axes("h g i j d e")
q, k, v = Tensor("q", h, i, d), Tensor("k", g, j, d), Tensor("v", g, j, e)
group = h // (h.size // g.size)
s = fold.sum(q[h, i, d] * k[group, j, d], over=d) / sqrt(d.size)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[group, j, e], over=j) / fold.sum(p, over=j))[h, i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
