"""Causal attention under a padding mask: row i of sequence b sees key j <= i where keep[b, j] > 0.

The attention_mask of libraries, for padding on either side: a row all of whose keys are padding gives 0.
"""

from refold import Tensor, axes, exp, fold, oo, pipeline, sqrt, where
from refold.examples import show

GROUP = "masks"

b, h, i, j, d, e = axes("b h i j d e")
q, k, v = Tensor("q", b, h, i, d), Tensor("k", b, h, j, d), Tensor("v", b, h, j, e)
keep = Tensor("keep", b, j, dtype="int32")
s = fold.sum(q[b, h, i, d] * k[b, h, j, d], over=d) / sqrt(d.size)
s = where((j <= i) & (keep[b, j] > 0), s, -oo)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[b, h, j, e], over=j) / fold.sum(p, over=j))[b, h, i, e], empty=0)


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
