"""Cross-entropy with soft targets: loss = -sum_c t_c log softmax(x)_c.

Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, arXiv 1503.02531.
"""

from refold import Tensor, axes, fold, pipeline
from refold.examples import show

GROUP = "losses"

i, c = axes("i c")
x = Tensor("x", i, c)
t = Tensor("t", i, c)
log_p = x[i, c] - fold.logsumexp(x[i, c], over=c)
SPEC = pipeline(loss=(-fold.sum(t[i, c] * log_p, over=c))[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
