"""Products of folds: o = L (R v), with R a softmax within blocks and L one between them.

Yaras et al., MonarchAttention: Zero-Shot Conversion to Fast, Hardware-Aware Structured Attention, arXiv 2505.18698:
the two factors of the Monarch matrix, each a block-diagonal softmax.
"""

from refold import Tensor, axes, exp, fold, pipeline
from refold.examples import show

GROUP = "attention"

a, i, b, j, e = axes("a i b j e")
r, l, v = Tensor("r", b, i, j), Tensor("l", i, a, b), Tensor("v", b, j, e)
p = exp(r[b, i, j] - fold.max(r[b, i, j], over=j))
y = fold.sum(p * v[b, j, e], over=j) / fold.sum(p, over=j)
w = exp(l[i, a, b] - fold.max(l[i, a, b], over=b))
SPEC = pipeline(o=(fold.sum(w * y, over=b) / fold.sum(w, over=b))[a, i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
