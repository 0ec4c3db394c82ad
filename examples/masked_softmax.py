"""Softmax with a bias, over the first length_i elements of a row: y = softmax(x + b), and 0 beyond them.

The scaled, masked softmax that Megatron-LM fuses (Shoeybi et al., arXiv 1909.08053).
"""

from refold import Tensor, axes, exp, fold, oo, pipeline, where
from refold.examples import show

GROUP = "softmax"

i, j = axes("i j")
x = Tensor("x", i, j)
b, length = Tensor("b", j), Tensor("length", i, dtype="int32")
s = where(j < length[i], x[i, j] + b[j], -oo)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(y=(p / fold.sum(p, over=j))[i, j], empty=0)


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
