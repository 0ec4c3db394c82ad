"""Batch-hard triplet loss: max(0, margin + max over one's class of d_ij - min over other classes of d_ij).

Hermans, Beyer and Leibe, In Defense of the Triplet Loss for Person Re-Identification, arXiv 1703.07737.
"""

from refold import Scalar, Tensor, axes, fold, oo, pipeline, relu, where
from refold.examples import show

GROUP = "losses"

i, j = axes("i j")
distance = Tensor("distance", i, j)
mine, label = Tensor("mine", i, dtype="int32"), Tensor("label", j, dtype="int32")
margin = Scalar("margin", positive=True)
same = label[j] == mine[i]
far = fold.max(where(same, distance[i, j], -oo), over=j)
near = fold.min(where(same, oo, distance[i, j]), over=j)
SPEC = pipeline(loss=relu(margin + far - near)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
