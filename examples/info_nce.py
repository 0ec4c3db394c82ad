"""InfoNCE: loss_i = log sum_j exp(s_ij) - s_ii, s = q k' / t: the right key of each row among those of all.

van den Oord, Li and Vinyals, Representation Learning with Contrastive Predictive Coding, arXiv 1807.03748.
"""

from refold import Scalar, Tensor, axes, fold, pipeline, where
from refold.examples import show

GROUP = "losses"

i, j, d = axes("i j d")
q, k = Tensor("q", i, d), Tensor("k", j, d)
t = Scalar("t", positive=True)
s = fold.sum(q[i, d] * k[j, d], over=d) / t
right = fold.sum(where(j == i, s, 0), over=j)
SPEC = pipeline(loss=(fold.logsumexp(s, over=j) - right)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
