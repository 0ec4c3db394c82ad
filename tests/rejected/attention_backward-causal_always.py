"""The backward pass masks the future although the forward pass did not (triton#4541)."""

from refold import Tensor, axes, claim, exp, finite_or, fold, log, maximum, oo, pipeline, where

i, j, f = axes("i j f")
s, dp, k = Tensor("s", i, j), Tensor("dp", i, j), Tensor("k", j, f)
w = exp(s[i, j] - fold.max(s[i, j], over=j))
p = w / fold.sum(w, over=j)
delta = fold.sum(p * dp[i, j], over=j)
SPEC = pipeline(dq=fold.sum(p * (dp[i, j] - delta) * k[j, f], over=j)[i, f])


def step(a, c):
    m = maximum(a.m, c.s)
    at = finite_or(m, 0)
    old, w = exp(a.m - at), exp(c.s - at)
    return {
        "m": m,
        "l": a.l * old + w,
        "delta": a.delta * old + w * c.dp,
        "dk": a.dk * old + w * c.dp * c.k,
        "k": a.k * old + w * c.k,
    }


def finish(a):
    whole = exp(-finite_or(log(a.l), 0))
    return (a.dk - a.delta * a.k * whole) * whole


CLAIM = claim(
    SPEC,
    element={"s": where(j <= i, s[i, j], -oo), "dp": dp[i, j], "k": k[j, f]},
    init={"m": -oo, "l": 0, "delta": 0, "dk": 0, "k": 0},
    step=step,
    finish=finish,
)
EXPECTED = ("claim", None, "one element at a time")
