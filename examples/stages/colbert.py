"""Late interaction of a query with documents: score = sum_i max_j q_i . k_j over the tokens j of each document.

Khattab, Zaharia, ColBERT: Efficient and Effective Passage Search via Contextualized Late Interaction over BERT, arXiv
2004.12832.
"""

from refold import Tensor, axes, fold, oo, pipeline, where
from refold.examples import show

GROUP = "selection"

n, i, j, d = axes("n i j d")
q, k = Tensor("q", i, d), Tensor("k", n, j, d)
length = Tensor("length", n, dtype="int32")
s = fold.sum(q[i, d] * k[n, j, d], over=d)
SPEC = pipeline(score=fold.sum(fold.max(where(j < length[n], s, -oo), over=j), over=i)[n])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
