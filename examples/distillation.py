"""Distillation at a temperature: loss = t^2 sum p (log p - log q), p = softmax(teacher / t), q = softmax(x / t).

Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, arXiv 1503.02531.
"""

from refold import Scalar, Tensor, axes, exp, fold, pipeline
from refold.examples import show

GROUP = "losses"

i, c = axes("i c")
x = Tensor("x", i, c)
teacher = Tensor("teacher", i, c)
t = Scalar("t", positive=True)
a, b = teacher[i, c] / t, x[i, c] / t
log_p, log_q = a - fold.logsumexp(a, over=c), b - fold.logsumexp(b, over=c)
SPEC = pipeline(loss=(t**2 * fold.sum(exp(log_p) * (log_p - log_q), over=c))[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
