"""Attention with its log-sum-exp, for those who merge parts or go backwards: o = softmax(s) v, lse = log sum exp(s).

Dao, FlashAttention-2, arXiv 2307.08691, section 3.1.
"""

from refold import Tensor, axes, exp, fold, log, pipeline, sqrt
from refold.examples import show

GROUP = "attention"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
s = fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size)
m = fold.max(s, over=j)
p = exp(s - m)
l = fold.sum(p, over=j)
SPEC = pipeline(o=(fold.sum(p * v[j, e], over=j) / l)[i, e], lse=(m + log(l))[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
