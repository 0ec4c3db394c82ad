"""Graphormer's bias: softmax(q k' / sqrt(d) + b[h, distance_ij] + c_ij) v, by shortest paths and by edges.

Ying et al., Do Transformers Really Perform Bad for Graph Representation?, arXiv 2106.05234, section 3.1.
"""

from refold import Tensor, axes, exp, fold, pipeline, sqrt
from refold.examples import show

GROUP = "biases"

h, i, j, d, e, b = axes("h i j d e b")
q, k, v = Tensor("q", h, i, d), Tensor("k", h, j, d), Tensor("v", h, j, e)
distance, spatial = Tensor("distance", i, j, dtype="int32"), Tensor("spatial", h, b)
edges = Tensor("edges", h, i, j)
s = fold.sum(q[h, i, d] * k[h, j, d], over=d) / sqrt(d.size) + spatial[h, distance[i, j]] + edges[h, i, j]
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[h, j, e], over=j) / fold.sum(p, over=j))[h, i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
