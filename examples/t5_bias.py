"""T5's relative position bias: softmax(q k' + weight[h, bucket_ij]) v, one learned number a head and bucket.

Raffel et al., Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer, arXiv 1910.10683.
The buckets of distances are a table, since which is which does not vary with the data.
"""

from refold import Tensor, axes, exp, fold, pipeline
from refold.examples import show

GROUP = "biases"

h, i, j, d, e, b = axes("h i j d e b")
q, k, v = Tensor("q", h, i, d), Tensor("k", h, j, d), Tensor("v", h, j, e)
bucket, weight = Tensor("bucket", i, j, dtype="int32"), Tensor("weight", h, b)
s = fold.sum(q[h, i, d] * k[h, j, d], over=d) + weight[h, bucket[i, j]]
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[h, j, e], over=j) / fold.sum(p, over=j))[h, i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
