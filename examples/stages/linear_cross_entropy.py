"""Linear layer and cross-entropy: loss = log sum_c exp(h . w_c) - h . w_target; the logits are never in memory.

Wijmans et al., Cut Your Losses in Large-Vocabulary Language Models, arXiv 2411.09009.
"""

from refold import Tensor, axes, fold, pipeline
from refold.examples import show

GROUP = "losses"

i, c, d = axes("i c d")
h, w = Tensor("h", i, d), Tensor("w", c, d)
target = Tensor("target", i, dtype="int64")
logit = fold.sum(h[i, d] * w[c, d], over=d)
right = fold.sum(h[i, d] * w[target[i], d], over=d)
SPEC = pipeline(loss=(fold.logsumexp(logit, over=c) - right)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
