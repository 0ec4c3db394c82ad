"""Multi-query attention: softmax(q_h k' / sqrt(d)) v, with one head of keys and values for all heads of queries.

Shazeer, Fast Transformer Decoding: One Write-Head is All You Need, arXiv 1911.02150.
"""

from refold import Tensor, axes, exp, fold, pipeline, sqrt
from refold.examples import show

GROUP = "attention"

h, i, j, d, e = axes("h i j d e")
q, k, v = Tensor("q", h, i, d), Tensor("k", j, d), Tensor("v", j, e)
s = fold.sum(q[h, i, d] * k[j, d], over=d) / sqrt(d.size)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[j, e], over=j) / fold.sum(p, over=j))[h, i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
