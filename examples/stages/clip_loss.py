"""Both directions of a contrastive loss: log-sums over the texts of every image, and over the images of every text.

Radford et al., Learning Transferable Visual Models From Natural Language Supervision, arXiv 2103.00020.
"""

from refold import Scalar, Tensor, axes, exp, fold, log, pipeline
from refold.examples import show

GROUP = "losses"

i, j, d = axes("i j d")
image, text = Tensor("image", i, d), Tensor("text", j, d)
temperature = Scalar("temperature", positive=True)
s = fold.sum(image[i, d] * text[j, d], over=d) / temperature
row, column = fold.max(s, over=j), fold.max(s, over=i)
SPEC = pipeline(
    images=(row + log(fold.sum(exp(s - row), over=j)))[i],
    texts=(column + log(fold.sum(exp(s - column), over=i)))[j],
)


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
