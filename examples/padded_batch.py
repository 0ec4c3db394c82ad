"""Causal attention of a padded batch: sequence b has length[b] keys, and no row sees those behind them.

The padding mask and the mask of the decoder in one: Vaswani et al., Attention Is All You Need, arXiv 1706.03762. Tiles
behind the length of a sequence are not run.
"""

from refold import Tensor, axes, exp, fold, oo, pipeline, sqrt, where
from refold.examples import show

GROUP = "masks"

b, h, i, j, d, e = axes("b h i j d e")
q, k, v = Tensor("q", b, h, i, d), Tensor("k", b, h, j, d), Tensor("v", b, h, j, e)
length = Tensor("length", b, dtype="int32")
s = fold.sum(q[b, h, i, d] * k[b, h, j, d], over=d) / sqrt(d.size)
s = where((j <= i) & (j < length[b]), s, -oo)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[b, h, j, e], over=j) / fold.sum(p, over=j))[b, h, i, e], empty=0)


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
