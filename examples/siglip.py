"""Sigmoid contrastive loss: loss_i = sum_j log(1 + exp(-z_ij (t s_ij + b))), z = 1 for the pair, else -1.

Zhai et al., Sigmoid Loss for Language Image Pre-Training, arXiv 2303.15343.
"""

from refold import Scalar, Tensor, absolute, axes, exp, fold, log, pipeline, relu, where
from refold.examples import show

GROUP = "losses"

i, j, d = axes("i j d")
q, k = Tensor("q", i, d), Tensor("k", j, d)
t, b = Scalar("t", positive=True), Scalar("b")
s = t * fold.sum(q[i, d] * k[j, d], over=d) + b
z = where(j == i, -s, s)
SPEC = pipeline(loss=fold.sum(relu(z) + log(1 + exp(-absolute(z))), over=j)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
