"""The router of a mixture of experts: the two experts with the largest logits, and the softmax over these two.

Shazeer et al., Outrageously large neural networks, arXiv 1701.06538; in this form Jiang et al., Mixtral of experts,
arXiv 2401.04088. Of equal logits the expert of the lower number comes first. One pass carries both: the second of a
part is its first wherever another part has the better one. A softmax over two is a sigmoid of their difference.
"""

from refold import Tensor, axes, fold, pipeline, sigmoid
from refold.examples import show

GROUP = "selection"

i, j = axes("i j")
logits = Tensor("logits", i, j)
(m, second), (a, b) = fold.topk(logits[i, j], 2, over=j)
SPEC = pipeline(first=a[i], other=b[i], weight=sigmoid(m - second)[i], rest=sigmoid(second - m)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
