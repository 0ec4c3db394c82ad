"""Attention with a learned sink: sum exp(s - m) v / (exp(sink_h - m) + sum exp(s - m)), m = max(sink_h, max s).

OpenAI, gpt-oss-120b and gpt-oss-20b Model Card, arXiv 2508.10925; after Xiao et al., Efficient Streaming Language
Models with Attention Sinks, arXiv 2309.17453.
"""

from refold import Tensor, axes, exp, fold, maximum, pipeline, sqrt
from refold.examples import show

GROUP = "attention"

h, i, j, d, e = axes("h i j d e")
q, k, v = Tensor("q", h, i, d), Tensor("k", h, j, d), Tensor("v", h, j, e)
sink = Tensor("sink", h)
s = fold.sum(q[h, i, d] * k[h, j, d], over=d) / sqrt(d.size)
m = maximum(sink[h], fold.max(s, over=j))
p = exp(s - m)
l = exp(sink[h] - m) + fold.sum(p, over=j)
SPEC = pipeline(o=(fold.sum(p * v[h, j, e], over=j) / l)[h, i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
