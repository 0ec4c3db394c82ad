"""Quantisation of a whole tensor to 8 bits by its largest magnitude: q = clamp(round(127 x / max |x|)), and its scale.

Per tensor as in Dettmers et al., LLM.int8(), arXiv 2208.07339, section 2.1. `round` takes the even one of two nearest,
as torch.round does.
"""

from refold import Tensor, axes, fold, maximum, minimum, pipeline
from refold.examples import show

GROUP = "norms"

i, j = axes("i j")
x = Tensor("x", i, j)
scale = maximum(fold.max(abs(x[i, j]), over=(i, j)), 1e-5) / 127
SPEC = pipeline(q=minimum(maximum(round(x[i, j] / scale), -128), 127)[i, j], scale=scale[()])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
