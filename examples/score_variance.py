"""Variance of scores under their own softmax, by centred moments: c = E[s^2] - E[s]^2, carried as E[(s - E s)^2].

It is the varentropy of the softmax, as log p = s - log sum exp s: Kontoyiannis and Verdu, Optimal lossless data
compression: non-asymptotics and asymptotics, IEEE Transactions on Information Theory 60(2), 2014.
"""

from refold import Tensor, axes, exp, fold, pipeline
from refold.examples import show

GROUP = "statistics"

i, j = axes("i j")
s = Tensor("s", i, j)[i, j]
w = exp(s - fold.max(s, over=j))
p = w / fold.sum(w, over=j)
SPEC = pipeline(c=(fold.sum(p * s**2, over=j) - fold.sum(p * s, over=j) ** 2)[i], centred=True)


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
