"""NT-Xent: loss_i = log sum_{j != i} exp(s_ij) - s_i,pair(i), the row itself left out.

Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, arXiv 2002.05709.
"""

from refold import Scalar, Tensor, axes, fold, oo, pipeline, where
from refold.examples import show

GROUP = "losses"

i, j, d = axes("i j d")
q, k = Tensor("q", i, d), Tensor("k", j, d)
t = Scalar("t", positive=True)
pair = Tensor("pair", i, dtype="int32")
s = fold.sum(q[i, d] * k[j, d], over=d) / t
right = fold.sum(where(j == pair[i], s, 0), over=j)
SPEC = pipeline(loss=(fold.logsumexp(where(j != i, s, -oo), over=j) - right)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
