"""Total variation distance of two softmaxes: sum |p - q| / 2.

Two stages: |p - q| does not separate. The acceptance rate of speculative sampling is 1 less this (arXiv 2211.17192).
"""

from refold import Tensor, absolute, axes, exp, fold, pipeline
from refold.examples import show

GROUP = "losses"

i, c = axes("i c")
x = Tensor("x", i, c)
y = Tensor("y", i, c)
p, q = exp(x[i, c] - fold.logsumexp(x[i, c], over=c)), exp(y[i, c] - fold.logsumexp(y[i, c], over=c))
SPEC = pipeline(d=(fold.sum(absolute(p - q), over=c) / 2)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
