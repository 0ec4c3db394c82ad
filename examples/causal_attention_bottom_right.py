"""Causal attention, aligned at the last position: row i sees the keys j <= i + |j| - |i|.

Dao, FlashAttention-2, arXiv 2307.08691 (the alignment of its version 2.1). The first |i| - |j| rows, if there are
any, see nothing and yield 0.
"""

from refold import Tensor, axes, exp, fold, oo, pipeline, sqrt, where
from refold.examples import show

GROUP = "masks"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
s = fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size)
s = where(j <= i + j.size - i.size, s, -oo)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[j, e], over=j) / fold.sum(p, over=j))[i, e], empty=0)


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
