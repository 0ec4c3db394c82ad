"""Kullback-Leibler divergence of two rows of logits: kl = sum p (log p - log q), p = softmax x, q = softmax y."""

from refold import Tensor, axes, exp, fold, pipeline
from refold.examples import show

GROUP = "losses"

i, j = axes("i j")
x, y = Tensor("x", i, j), Tensor("y", i, j)
log_p = x[i, j] - fold.logsumexp(x[i, j], over=j)
log_q = y[i, j] - fold.logsumexp(y[i, j], over=j)
SPEC = pipeline(kl=fold.sum(exp(log_p) * (log_p - log_q), over=j)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
