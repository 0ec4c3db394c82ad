"""Hinge loss against the best wrong class: max(0, 1 + max_{c != target} x_c - x_target).

Crammer and Singer, On the Algorithmic Implementation of Multiclass Kernel-based Vector Machines, 2001.
"""

from refold import Tensor, axes, fold, oo, pipeline, relu, where
from refold.examples import show

GROUP = "losses"

i, c = axes("i c")
x = Tensor("x", i, c)
target = Tensor("target", i, dtype="int64")
SPEC = pipeline(loss=relu(1 + fold.max(where(c != target[i], x[i, c], -oo), over=c) - x[i, target[i]])[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
