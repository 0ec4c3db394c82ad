"""Attention with dropout after the softmax: sum keep p v / ((1 - rate) sum p), with keep 0 or 1 for each weight.

Srivastava et al., Dropout, 2014; Dao et al., FlashAttention, arXiv 2205.14135, section B.3.
"""

from refold import Scalar, Tensor, axes, exp, fold, pipeline, sqrt
from refold.examples import show

GROUP = "attention"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
keep = Tensor("keep", i, j)
rate = Scalar("rate")
s = fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(keep[i, j] * p * v[j, e], over=j) / ((1 - rate) * fold.sum(p, over=j)))[i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
