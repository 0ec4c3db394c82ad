"""Linear + cross-entropy: the loss of a vocabulary whose logits, x w^T, are nowhere in memory.

Wijmans et al., Cut Your Losses in Large-Vocabulary Language Models, arXiv 2411.09009.
"""

from refold import Tensor, axes, fold, pipeline
from refold.examples import show

GROUP = "losses"

i, v, d = axes("i v d")
x, w = Tensor("x", i, d), Tensor("w", v, d)
target = Tensor("target", i, dtype="int64")
logits = fold.sum(x[i, d] * w[v, d], over=d)
label = fold.sum(x[i, d] * w[target[i], d], over=d)
SPEC = pipeline(loss=(fold.logsumexp(logits, over=v) - label)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
