"""A norm that scales itself: y = (tanh(sum x b) a + g) x / sqrt(mean x^2 + eps).

Cai et al., SeeDNorm: Self-Rescaled Dynamic Normalization, arXiv 2510.22777.
"""

from refold import Scalar, Tensor, axes, fold, pipeline, sqrt, tanh
from refold.examples import show

GROUP = "norms"

i, j = axes("i j")
x, a, b, g = Tensor("x", i, j), Tensor("a", j), Tensor("b", j), Tensor("g", j)
eps = Scalar("eps", positive=True)
gate = tanh(fold.sum(x[i, j] * b[j], over=j))
rms = sqrt(fold.sum(x[i, j] ** 2, over=j) / j.size + eps)
SPEC = pipeline(y=((gate * a[j] + g[j]) * x[i, j] / rms)[i, j])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
