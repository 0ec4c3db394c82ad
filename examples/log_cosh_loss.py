"""Log-cosh loss: mean log cosh(x - y), as a + log(1 + exp(-2 a)) - log 2 with a = |x - y|.

Green, Bayesian reconstructions from emission tomography data using a modified EM algorithm, 1990.
"""

from refold import Tensor, absolute, axes, exp, fold, log, pipeline
from refold.examples import show

GROUP = "losses"

i, j = axes("i j")
x = Tensor("x", i, j)
y = Tensor("y", i, j)
a = absolute(x[i, j] - y[i, j])
SPEC = pipeline(loss=(fold.sum(a + log(1 + exp(-2 * a)) - log(2), over=j) / j.size)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
