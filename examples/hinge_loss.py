"""Hinge loss of many classes: sum over the wrong classes c of max(0, 1 + x_c - x_target).

Weston and Watkins, Support vector machines for multi-class pattern recognition, 1999.
"""

from refold import Tensor, axes, fold, pipeline, relu, where
from refold.examples import show

GROUP = "losses"

i, c = axes("i c")
x = Tensor("x", i, c)
target = Tensor("target", i, dtype="int64")
SPEC = pipeline(loss=fold.sum(where(c != target[i], relu(1 + x[i, c] - x[i, target[i]]), 0), over=c)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
