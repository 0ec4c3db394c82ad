"""Grouped-query attention of one query row over a cache: the |h| / |g| query heads of a key head share its tiles.

Ainslie et al., arXiv 2305.13245; Dao, Haziza, Massa and Sizov, Flash-Decoding for long-context inference, 2023.
"""

from refold import Tensor, axes, exp, fold, pipeline, sqrt
from refold.examples import show

GROUP = "decoding"

h, g, j, d, e = axes("h g j d e")
q, k, v = Tensor("q", h, d), Tensor("k", g, j, d), Tensor("v", g, j, e)
group = h // (h.size // g.size)
s = fold.sum(q[h, d] * k[group, j, d], over=d) / sqrt(d.size)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[group, j, e], over=j) / fold.sum(p, over=j))[h, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
