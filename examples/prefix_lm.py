"""Prefix-LM attention: every row sees the prefix, and beyond it the keys up to its own.

Raffel et al., T5, arXiv 1910.10683, section 3.2.1. Both bounds are one: the last key is max(i, prefix - 1).
"""

from refold import Scalar, Tensor, axes, exp, fold, oo, pipeline, sqrt, where
from refold.examples import show

GROUP = "masks"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
prefix = Scalar("prefix", integer=True, positive=True)
s = fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size)
s = where((j < prefix) | (j <= i), s, -oo)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[j, e], over=j) / fold.sum(p, over=j))[i, e], empty=0)


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
