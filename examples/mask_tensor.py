"""Attention under any mask, an integer tensor: row i sees key j where mask[i, j] > 0.

Vaswani et al., Attention Is All You Need, arXiv 1706.03762, section 3.2.3. A tile in which nothing is seen is not run.
"""

from refold import Tensor, axes, exp, fold, oo, pipeline, sqrt, where
from refold.examples import show

GROUP = "masks"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
mask = Tensor("mask", i, j, dtype="int32")
s = fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size)
s = where(mask[i, j] > 0, s, -oo)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[j, e], over=j) / fold.sum(p, over=j))[i, e], empty=0)


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
