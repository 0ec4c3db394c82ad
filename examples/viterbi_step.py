"""One step of Viterbi's algorithm: y_i = max_j (a_j + t_ji) + b_i, and the j that it comes from.

Viterbi, Error bounds for convolutional codes, 1967.
"""

from refold import Tensor, axes, fold, pipeline
from refold.examples import show

GROUP = "iterations"

n, i, j = axes("n i j")
a, t, b = Tensor("a", n, j), Tensor("t", j, i), Tensor("b", n, i)
s = a[n, j] + t[j, i]
SPEC = pipeline(y=(fold.max(s, over=j) + b[n, i])[n, i], come_from=fold.argmax(s, over=j)[n, i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
