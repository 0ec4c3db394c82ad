"""Attention as first written, with no max: exp(q k' / sqrt(d)) v / sum exp(q k' / sqrt(d)).

Vaswani et al., Attention Is All You Need, arXiv 1706.03762. The shift by the maximum is derived.
"""

from refold import Tensor, axes, exp, fold, pipeline, sqrt
from refold.examples import show

GROUP = "attention"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
p = exp(fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size))
SPEC = pipeline(o=(fold.sum(p * v[j, e], over=j) / fold.sum(p, over=j))[i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
