"""ReLU attention: sum relu(q k' / sqrt(d)) v / |j|. Partial sums add; no maximum is needed.

Wortsman et al., Replacing softmax with ReLU in Vision Transformers, arXiv 2309.08586.
"""

from refold import Tensor, axes, fold, pipeline, relu, sqrt
from refold.examples import show

GROUP = "attention"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
s = fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size)
SPEC = pipeline(o=(fold.sum(relu(s) * v[j, e], over=j) / j.size)[i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
