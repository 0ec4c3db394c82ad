"""Gumbel-softmax: y = softmax((x - log(-log u)) / t), a differentiable draw from the distribution softmax(x).

Jang, Gu and Poole, Categorical Reparameterization with Gumbel-Softmax, arXiv 1611.01144.
"""

from refold import Scalar, Tensor, axes, exp, fold, pipeline
from refold.examples import show

GROUP = "softmax"

i, j = axes("i j")
x = Tensor("x", i, j)
noise = Tensor("noise", i, j)
t = Scalar("t", positive=True)
s = (x[i, j] + noise[i, j]) / t
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(y=(p / fold.sum(p, over=j))[i, j])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
