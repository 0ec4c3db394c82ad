"""Attention to selected keys: row i attends to the keys at[i, t] alone, which a retrieval chose.

Hooper et al., Squeezed Attention, arXiv 2411.09688, exact attention to the keys of the clusters that were kept.
"""

from refold import Tensor, axes, exp, fold, pipeline, sqrt
from refold.examples import show

GROUP = "attention"

i, t, n, d, e = axes("i t n d e")
q, k, v = Tensor("q", i, d), Tensor("k", n, d), Tensor("v", n, e)
at = Tensor("at", i, t, dtype="int32")
s = fold.sum(q[i, d] * k[at[i, t], d], over=d) / sqrt(d.size)
p = exp(s - fold.max(s, over=t))
SPEC = pipeline(o=(fold.sum(p * v[at[i, t], e], over=t) / fold.sum(p, over=t))[i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
