"""Top-1 routing: the best expert of each token, and its probability 1 / sum exp(x - max x).

Fedus, Zoph and Shazeer, Switch Transformers, arXiv 2101.03961.
"""

from refold import Tensor, axes, exp, fold, pipeline
from refold.examples import show

GROUP = "selection"

i, e = axes("i e")
x = Tensor("x", i, e)
m = fold.max(x[i, e], over=e)
SPEC = pipeline(expert=fold.argmax(x[i, e], over=e)[i], gate=(1 / fold.sum(exp(x[i, e] - m), over=e))[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
