"""Binary cross-entropy of logits: mean max(x, 0) - x t + log(1 + exp(-|x|)).

The stable form that PyTorch and TensorFlow document.
"""

from refold import Tensor, absolute, axes, exp, fold, log, pipeline, relu
from refold.examples import show

GROUP = "losses"

i, j = axes("i j")
x = Tensor("x", i, j)
t = Tensor("t", i, j)
term = relu(x[i, j]) - x[i, j] * t[i, j] + log(1 + exp(-absolute(x[i, j])))
SPEC = pipeline(loss=(fold.sum(term, over=j) / j.size)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
