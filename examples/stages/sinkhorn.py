"""One sweep of Sinkhorn's algorithm in the logarithm: a potential of the rows, then one of the columns.

Cuturi, Sinkhorn Distances: Lightspeed Computation of Optimal Transport, arXiv 1306.0895.
"""

from refold import Tensor, axes, exp, fold, log, pipeline
from refold.examples import show

GROUP = "iterations"

i, j = axes("i j")
c = Tensor("c", i, j)
m = fold.max(c[i, j], over=j)
f = -(m + log(fold.sum(exp(c[i, j] - m), over=j)))
top = fold.max(c[i, j] + f, over=i)
g = -(top + log(fold.sum(exp(c[i, j] + f - top), over=i)))
SPEC = pipeline(f=f[i], g=g[j])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
