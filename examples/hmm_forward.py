"""One step of the forward algorithm: a'_i = log sum_j exp(a_j + t_ji) + b_i, in the logarithm.

Rabiner, A tutorial on hidden Markov models, 1989, equation 20.
"""

from refold import Tensor, axes, fold, pipeline
from refold.examples import show

GROUP = "iterations"

n, i, j = axes("n i j")
a, t, b = Tensor("a", n, j), Tensor("t", j, i), Tensor("b", n, i)
SPEC = pipeline(y=(fold.logsumexp(a[n, j] + t[j, i], over=j) + b[n, i])[n, i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
