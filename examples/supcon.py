"""Supervised contrastive loss: loss_i = log sum_{j != i} exp(s_ij) - mean of s_ij over the others of its class.

Khosla et al., Supervised Contrastive Learning, arXiv 2004.11362. The views that are compared are other tensors than the
anchors, so that a row is not among its own keys.
"""

from refold import Scalar, Tensor, axes, fold, pipeline, where
from refold.examples import show

GROUP = "losses"

i, j, d = axes("i j d")
q, k = Tensor("q", i, d), Tensor("k", j, d)
t = Scalar("t", positive=True)
mine, label = Tensor("mine", i, dtype="int32"), Tensor("label", j, dtype="int32")
s = fold.sum(q[i, d] * k[j, d], over=d) / t
same = label[j] == mine[i]
mean = fold.sum(where(same, s, 0), over=j) / fold.count(same, over=j)
SPEC = pipeline(loss=(fold.logsumexp(s, over=j) - mean)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
