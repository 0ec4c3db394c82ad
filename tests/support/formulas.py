"""The formula of every example by hand in NumPy, which shares no code with refold: rows and heads by loops."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Arrays = dict[str, Any]


def softmax(s: Any) -> Any:
    p = np.exp(s - s.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def attend(s: Any, v: Any) -> Any:
    """Rows of softmax(s) v by a loop over what is not masked; 0 where all is."""
    out = np.zeros((*s.shape[:-1], v.shape[-1]))
    for row in np.ndindex(s.shape[:-1]):
        seen = s[row] > -np.inf
        if seen.any():
            out[row] = softmax(s[row][seen]) @ v[seen]
    return out


def scores(a: Arrays, seen: Callable[[int, int], bool] = lambda i, j: True) -> Any:
    s = a["q"] @ a["k"].T / math.sqrt(a["q"].shape[-1])
    return np.array([[s[i, j] if seen(i, j) else -np.inf for j in range(s.shape[1])] for i in range(s.shape[0])])


def heads(a: Arrays, bias: Callable[[int, int, int], float], group: int = 1) -> Any:
    """One head after the other."""
    out = []
    for h in range(a["q"].shape[0]):
        one = {"q": a["q"][h], "k": a["k"][h // group]}
        s = scores(one)
        s = s + np.array([[bias(h, i, j) for j in range(s.shape[1])] for i in range(s.shape[0])])
        out.append(attend(s, a["v"][h // group]))
    return np.array(out)


def lse(x: Any) -> Any:
    return np.log(np.exp(x).sum(-1))


def sink_attention(a: Arrays) -> Any:
    h, i = a["q"].shape[:2]
    out = np.zeros((h, i, a["v"].shape[-1]))
    for n in range(h):
        s = scores({"q": a["q"][n], "k": a["k"][n]})
        p = softmax(np.concatenate([s, np.full((i, 1), a["sink"][n])], axis=1))
        out[n] = p[:, :-1] @ a["v"][n]
    return out


def paged(a: Arrays) -> Any:
    """Each sequence's keys and values gathered from their pages, head by head."""
    out = np.zeros((*a["q"].shape[:2], a["v"].shape[-1]))
    for b, length in enumerate(a["length"]):
        for h, q in enumerate(a["q"][b]):
            k, v = (a[x][a["table"][b], h // 2].reshape(-1, a[x].shape[-1])[:length] for x in ("k", "v"))
            out[b, h] = attend(k @ q / math.sqrt(len(q)), v)
    return out


def nll(a: Arrays, z: float = 0.0) -> Any:
    return np.array([0.0 if t == -100 else lse(x) - x[t] + z * lse(x) ** 2
                     for x, t in zip(a["x"], a["target"], strict=True)])  # fmt: skip


def layer_norm(a: Arrays) -> Any:
    x = a["x"]
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + a["eps"]) * a["weight"] + a["bias"]


def performer(a: Arrays) -> Any:
    r1 = a["c1"].max(-1, keepdims=True)
    p = np.exp(a["c1"] - r1 - a["b"] * a["c2"] * a["c3"])
    return (a["a"] * a["c3"] * p / p.sum(-1, keepdims=True)).sum(-1)


def differential(a: Arrays) -> Any:
    first, second = (softmax(scores({"q": a[f"q{n}"], "k": a[f"k{n}"]})) for n in (1, 2))
    return first @ a["v"] - a["lam"] * second @ a["v"]


def residual(a: Arrays) -> Any:
    """By NumPy's own least squares; NaN of one position, which gives 0/0 for the slope."""
    if a["x"].shape[1] < 2:
        return np.full(len(a["x"]), np.nan)
    lines = [np.polyfit(x, y, 1) for x, y in zip(a["x"], a["y"], strict=True)]
    return np.array([((y - np.polyval(f, x)) ** 2).sum() for f, x, y in zip(lines, a["x"], a["y"], strict=True)])


def expected(p: Any, x: Any) -> Any:
    return (p * x).sum(-1, keepdims=True)


def weighted_covariance(a: Arrays) -> Any:
    p = softmax(a["s"])
    return (p * (a["x"] - expected(p, a["x"])) * (a["y"] - expected(p, a["y"]))).sum(-1)


def correlation(a: Arrays) -> Any:
    """By NumPy's own; 0/0 of one position."""
    if a["x"].shape[1] < 2:
        return np.full(len(a["x"]), np.nan)
    return np.array([np.corrcoef(x, y)[0, 1] for x, y in zip(a["x"], a["y"], strict=True)])


def score_variance(a: Arrays) -> Any:
    p = softmax(a["s"])
    return (p * (a["s"] - expected(p, a["s"])) ** 2).sum(-1)


HAND: dict[str, Callable[[Arrays], Any]] = {
    "differential_attention": differential,
    "regression_residual": residual,
    "weighted_covariance": weighted_covariance,
    "centred_correlation": correlation,
    "score_variance": score_variance,
    "score_variance_raw": score_variance,
    "brier_score": lambda a: ((softmax(a["x"]) - a["y"]) ** 2).sum(-1),
    "softmax_distance": lambda a: ((softmax(a["x"]) - softmax(a["y"])) ** 2).sum(-1),
    "softmax": lambda a: softmax(a["x"]),
    "log_softmax": lambda a: np.log(softmax(a["x"])),
    "logsumexp": lambda a: lse(a["x"]),
    "cross_entropy": nll,
    "z_loss": lambda a: nll(a, a["z"]),
    "rms_norm": lambda a: a["weight"] * a["x"] / np.sqrt((a["x"] ** 2).mean(-1, keepdims=True) + a["eps"]),
    "layer_norm": layer_norm,
    "entropy": lambda a: -(softmax(a["x"]) * np.log(softmax(a["x"]))).sum(-1),
    "kl": lambda a: (softmax(a["x"]) * np.log(softmax(a["x"]) / softmax(a["y"]))).sum(-1),
    "kurtosis": lambda a: ((a["x"] - a["x"].mean(-1, keepdims=True)) ** 4).mean(-1) / a["x"].var(-1) ** 2 - 3,
    "covariance": lambda a: (a["x"] * a["y"]).mean(-1) - a["x"].mean(-1) * a["y"].mean(-1),
    "circular_mean": lambda a: np.cos(a["x"] - a["x"].mean(-1, keepdims=True)).mean(-1),
    "argmax": lambda a: {"at": a["x"].argmax(-1), "top": a["x"].max(-1)},
    "attention": lambda a: attend(scores(a), a["v"]),
    "naive_attention": lambda a: attend(scores(a), a["v"]),
    "causal_attention": lambda a: attend(scores(a, lambda i, j: j <= i), a["v"]),
    "causal_attention_bottom_right": lambda a: attend(
        scores(a, lambda i, j: j - len(a["k"]) <= i - len(a["q"])), a["v"]
    ),
    "window_attention": lambda a: attend(scores(a, lambda i, j: 0 <= i - j < a["window"]), a["v"]),
    "alibi": lambda a: heads(a, lambda h, i, j: -a["slope"][h] * (i - j) if j <= i else -np.inf),
    "softcap": lambda a: attend(a["cap"] * np.tanh(scores(a) / a["cap"]), a["v"]),
    "gqa": lambda a: heads(a, lambda h, i, j: 0.0, group=len(a["q"]) // len(a["k"])),
    "decode": lambda a: attend(a["k"] @ a["q"] / math.sqrt(len(a["q"])), a["v"]),
    "gqa_decode": lambda a: np.array(
        [attend(a["k"][h // 2] @ q / math.sqrt(len(q)), a["v"][h // 2]) for h, q in enumerate(a["q"])]
    ),
    "paged_decode": paged,
    "attention_sink": sink_attention,
    "sigmoid_attention": lambda a: 1 / (1 + np.exp(-scores(a) - a["b"])) @ a["v"],
    "performer_g3": performer,
    "dilated_window": lambda a: attend(
        scores(a, lambda i, j: j <= i < j + a["window"] * a["step"] and (i - j) % a["step"] == 0), a["v"]
    ),
    "global_window": lambda a: attend(
        scores(a, lambda i, j: j <= i and (j < a["shared"] or i < j + a["window"])), a["v"]
    ),
    "prefix_lm": lambda a: attend(scores(a, lambda i, j: j < a["prefix"] or j <= i), a["v"]),
    "block_diffusion": lambda a: attend(scores(a, lambda i, j: j // a["block"] <= i // a["block"]), a["v"]),
    "document": lambda a: attend(scores(a, lambda i, j: j <= i and a["key"][j] == a["row"][i]), a["v"]),
    "mask_tensor": lambda a: attend(scores(a, lambda i, j: a["mask"][i, j] > 0), a["v"]),
}


def mean(x: Any, axis: int | tuple[int, ...] = -1) -> Any:
    return x.mean(axis, keepdims=True)


def logistic(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def normal(x: Any, eps: float = 0.0, axis: int | tuple[int, ...] = -1) -> Any:
    return (x - mean(x, axis)) / np.sqrt(x.var(axis, keepdims=True) + eps)


def root_mean_square(x: Any, eps: float) -> Any:
    return x / np.sqrt(mean(x**2) + eps)


def each(a: Arrays, names: str, f: Callable[[Arrays], Any]) -> Any:
    """The first axis of some inputs, one position after the other."""
    own = names.split()
    return np.array([f(a | {name: a[name][n] for name in own}) for n in range(len(a[own[0]]))])


def cases(a: Arrays) -> Any:
    """The row, the target and the softmax of every case of a classification."""
    return [(x, t, softmax(x)) for x, t in zip(a["x"], a["target"], strict=True)]


def of_target(a: Arrays, f: Callable[[Any, int, Any], float]) -> Any:
    return np.array([f(x, t, p) for x, t, p in cases(a)])


def products(a: Arrays, divisor: float = 1.0) -> Any:
    return a["q"] @ a["k"].T / divisor


def additive(a: Arrays) -> Any:
    return np.array([[(a["w"] * np.tanh(q + k)).sum() for k in a["k"]] for q in a["q"]])


def attention_free(a: Arrays) -> Any:
    out = np.zeros(a["q"].shape)
    for row in np.ndindex(out.shape):
        p = softmax(a["k"][:, row[1]] + a["w"][row[0]])
        out[row] = logistic(a["q"][row]) * (p * a["v"][:, row[1]]).sum()
    return out


def sparse_pick(a: Arrays) -> Any:
    s = scores(a)
    m = np.maximum(0, s.max(-1, keepdims=True))
    p = np.exp(s - m) - np.exp(-m)
    return np.maximum(p, 0) @ a["v"] / (np.abs(p).sum(-1, keepdims=True) + a["eps"])


def by_hash(a: Arrays) -> Any:
    p = softmax(scores(a))
    n, m = p.shape
    keep = np.array([[(40503 * i + 30103 * j) % 65536 < a["keep_below"] for j in range(m)] for i in range(n)])
    return (keep * p) @ a["v"] / (1 - a["rate"])


def decoded(a: Arrays) -> Any:
    k = a["k"] * a["k_scale"][:, None] + a["k_zero"][:, None]
    v = a["v"] * a["v_scale"][:, None] + a["v_zero"][:, None]
    return attend(k @ a["q"] / math.sqrt(len(a["q"])), v)


def kept(a: Arrays, keep: Callable[[int, int], bool]) -> Any:
    """Causal attention, one sequence and head after the other."""
    return np.array([
        [attend(scores({"q": q, "k": k}, lambda i, j, b=b: j <= i and keep(b, j)), v)
         for q, k, v in zip(a["q"][b], a["k"][b], a["v"][b], strict=True)] for b in range(len(a["q"]))
    ])  # fmt: skip


def largest(x: Any, k: int) -> tuple[Any, Any]:
    """The k largest of every row and where they stand; -oo and 0 in the place of those that a shorter row lacks."""
    x = np.concatenate([x, np.full((*x.shape[:-1], k), -np.inf)], -1)
    at = np.argsort(-x, -1, kind="stable")[..., :k]
    values = np.take_along_axis(x, at, -1)
    return values, np.where(np.isfinite(values), at, 0)


def block_products(a: Arrays) -> Any:
    inner = np.array([[softmax(a["r"][b, i]) @ a["v"][b] for i in range(a["r"].shape[1])] for b in range(len(a["r"]))])
    return np.array([[softmax(a["l"][i, n]) @ inner[:, i] for i in range(len(a["l"]))] for n in range(a["l"].shape[1])])


def contrast(a: Arrays) -> Any:
    s = products(a, a["t"])
    out = []
    for n, row in enumerate(s):
        others = np.array([x for m, x in enumerate(row) if m != n])
        right = row[a["pair"][n]] if 0 <= a["pair"][n] < len(row) else 0.0
        out.append((lse(others) if len(others) else -np.inf) - right)
    return np.array(out)


def paired(a: Arrays) -> Any:
    s = a["t"] * products(a) + a["b"]
    sign = np.array([[1 if m == n else -1 for m in range(s.shape[1])] for n in range(len(s))])
    return np.log1p(np.exp(-sign * s)).sum(-1)


def hinge(x: Any, t: int) -> list[float]:
    return [1 + x[c] - x[t] for c in range(len(x)) if c != t]


def masked(a: Arrays) -> Any:
    out = np.zeros(a["x"].shape)
    for row, n in enumerate(a["length"]):
        if n > 0:
            out[row, :n] = softmax(a["x"][row, :n] + a["b"][:n])
    return out


def pooled(a: Arrays) -> Any:
    out = np.full((len(a["x"]), a["x"].shape[-1]), np.nan)
    for b, keep in enumerate(a["mask"] != 0):
        if keep.any():
            out[b] = a["x"][b][keep].mean(0)
    return out


def huber(a: Arrays) -> Any:
    gap, delta = np.abs(a["x"] - a["y"]), a["delta"]
    return np.where(gap <= delta, gap**2 / 2, delta * (gap - delta / 2)).mean(-1)


def graph_scores(a: Arrays, bias: Callable[[int, int, int], float], scale: float) -> Any:
    return np.array([[[a["q"][h, i] @ a["k"][h, j] / scale + bias(h, i, j) for j in range(a["k"].shape[1])]
                      for i in range(a["q"].shape[1])] for h in range(len(a["q"]))])  # fmt: skip


def over_heads(s: Any, v: Any) -> Any:
    return np.array([attend(one, other) for one, other in zip(s, v, strict=True)])


def turned(a: Arrays) -> Any:
    """Attention to complex numbers that are multiplied by complex phases."""
    q = (a["q1"] + 1j * a["q2"]) * (a["q_cos"] + 1j * a["q_sin"])
    k = (a["k1"] + 1j * a["k2"]) * (a["k_cos"] + 1j * a["k_sin"])
    return attend((q @ k.conj().T).real / math.sqrt(2 * q.shape[-1]), a["v"])


def supervised(a: Arrays) -> Any:
    s = products(a, a["t"])
    own = [row[a["label"] == mine] for row, mine in zip(s, a["mine"], strict=True)]
    return np.array([lse(row) - (same.mean() if len(same) else np.nan) for row, same in zip(s, own, strict=True)])


HAND |= {
    "mqa": lambda a: each(a, "q", lambda h: attend(scores(h), h["v"])),
    "softmax1_attention": lambda a: np.exp(scores(a)) @ a["v"] / (1 + np.exp(scores(a)).sum(-1, keepdims=True)),
    "relu_attention": lambda a: np.maximum(scores(a), 0) @ a["v"] / len(a["k"]),
    "hstu_attention": lambda a: np.tril((s := products(a) + a["b"]) * logistic(s)) @ a["v"] / len(a["k"]),
    "softpick": sparse_pick,
    "evoformer_row": lambda a: logistic(a["gate"]) * over_heads(
        graph_scores(a, lambda h, i, j: a["b"][h, i, j] + a["mask"][j], math.sqrt(a["q"].shape[-1])), a["v"]
    ),
    "cosine_attention": lambda a: attend(
        products({n: x / np.linalg.norm(x, axis=-1, keepdims=True) for n, x in a.items() if n in "qk"}, a["tau"]),
        a["v"],
    ),
    "gated_attention": lambda a: logistic(a["gate"]) * attend(scores(a, lambda i, j: j <= i), a["v"]),
    "dropout_attention": lambda a: (a["keep"] * softmax(scores(a))) @ a["v"] / (1 - a["rate"]),
    "hash_dropout_attention": by_hash,
    "additive_attention": lambda a: attend(additive(a), a["v"]),
    "laser_attention": lambda a: np.log(softmax(scores(a)) @ np.exp(a["v"])),
    "aft": attention_free,
    "attention_lse": lambda a: {"o": attend(scores(a), a["v"]), "lse": lse(scores(a))},
    "selected_keys": lambda a: np.array(
        [attend(a["k"][at] @ q / math.sqrt(len(q)), a["v"][at]) for q, at in zip(a["q"], a["at"], strict=True)]
    ),
    "performer": lambda a: (a["fq"] @ a["fk"].T) @ a["v"] / (a["fq"] @ a["fk"].T).sum(-1, keepdims=True),
    "quantised_cache_decode": decoded,
    "local_decode": lambda a: each(
        a, "q k v", lambda h: attend(h["k"][-a["window"] :] @ h["q"] / math.sqrt(len(h["q"])), h["v"][-a["window"] :])
    ),
    "attention_pooling": lambda a: each(
        a, "x tanhs gates", lambda b: attend((np.tanh(b["tanhs"]) * logistic(b["gates"])) @ b["w"], b["x"])
    ),
    "monarch": block_products,
    "graphormer": lambda a: over_heads(
        graph_scores(a, lambda h, i, j: a["spatial"][h, a["distance"][i, j]] + a["edges"][h, i, j],
                     math.sqrt(a["q"].shape[-1])), a["v"]
    ),
    "kerple": lambda a: heads(
        a, lambda h, i, j: -a["a"][h] * math.log(1 + a["b"][h] * (i - j)) if j <= i else -np.inf
    ),
    "chunked_attention": lambda a: attend(
        scores(a, lambda i, j: j <= i and i // a["chunk"] == j // a["chunk"]), a["v"]
    ),
    "softcap_window": lambda a: attend(
        np.where(np.isfinite(s := scores(a, lambda i, j: 0 <= i - j < a["window"])),
                 a["cap"] * np.tanh(scores(a) / a["cap"]), s), a["v"]
    ),
    "strided_attention": lambda a: attend(
        scores(a, lambda i, j: j <= i and (i - j < a["stride"] or (i - j) % a["stride"] == 0)), a["v"]
    ),
    "masked_softmax": masked,
    "gumbel_softmax": lambda a: softmax((a["x"] + a["noise"]) / a["t"]),
    "mellowmax": lambda a: np.log(np.exp(a["w"] * a["x"]).mean(-1)) / a["w"],
    "boltzmann_maximum": lambda a: (softmax(a["w"] * a["x"]) * a["x"]).sum(-1),
    "rope_attention": turned,
    "linear_cross_entropy": lambda a: of_target({"x": a["x"] @ a["w"].T, "target": a["target"]},
                                                lambda x, t, p: -np.log(p[t])),
    "info_nce": lambda a: np.array(
        [lse(row) - (row[n] if n < len(row) else 0) for n, row in enumerate(products(a, a["t"]))]
    ),
    "skewness": lambda a: ((a["x"] - mean(a["x"])) ** 3).mean(-1) / (a["x"].var(-1) + a["eps"]) ** 1.5,
    "renyi_entropy": lambda a: np.log((softmax(a["x"]) ** a["a"]).sum(-1)) / (1 - a["a"]),
    "supcon": supervised,
    "correlation": lambda a: (normal(a["x"]) * normal(a["y"])).mean(-1),
    "standardise": lambda a: normal(a["x"], a["eps"]),
    "masked_mean": pooled,
    "power_mean": lambda a: (a["x"] ** a["p"]).mean(-1) ** (1 / a["p"]),
    "geometric_mean": lambda a: a["x"].prod(-1) ** (1 / a["x"].shape[-1]),
    "harmonic_mean": lambda a: 1 / (1 / a["x"]).mean(-1),
    "nrm2": lambda a: np.linalg.norm(a["x"], axis=-1),
    "p_norm": lambda a: np.linalg.norm(a["x"], ord=a["p"], axis=-1),
    "cosine_similarity": lambda a: (a["x"] * a["z"]).sum(-1)
    / np.maximum(np.linalg.norm(a["x"], axis=-1) * np.linalg.norm(a["z"], axis=-1), a["eps"]),
    "min_max_scaling": lambda a: (a["x"] - a["x"].min(-1, keepdims=True))
    / (np.ptp(a["x"], axis=-1, keepdims=True) + a["eps"]),
    "hmm_forward": lambda a: np.log(np.exp(a["a"]) @ np.exp(a["t"])) + a["b"],
    "label_smoothing": lambda a: of_target(
        a, lambda x, t, p: -((1 - a["a"]) * np.log(p[t]) + a["a"] * np.log(p).mean())
    ),
    "focal_loss": lambda a: of_target(a, lambda x, t, p: -((1 - p[t]) ** a["gamma"]) * np.log(p[t])),
    "poly_loss": lambda a: of_target(a, lambda x, t, p: -np.log(p[t]) + a["a"] * (1 - p[t])),
    "soft_cross_entropy": lambda a: -(a["t"] * np.log(softmax(a["x"]))).sum(-1),
    "distillation": lambda a: a["t"] ** 2
    * ((p := softmax(a["teacher"] / a["t"])) * np.log(p / softmax(a["x"] / a["t"]))).sum(-1),
    "hellinger": lambda a: ((np.sqrt(softmax(a["x"])) - np.sqrt(softmax(a["y"]))) ** 2).sum(-1) / 2,
    "hinge_loss": lambda a: of_target(a, lambda x, t, p: sum(max(0.0, x) for x in hinge(x, t))),
    "crammer_singer": lambda a: of_target(a, lambda x, t, p: max([0.0, *hinge(x, t)])),
    "huber_loss": huber,
    "log_cosh_loss": lambda a: np.log(np.cosh(a["x"] - a["y"])).mean(-1),
    "bce_with_logits": lambda a: -(
        a["t"] * np.log(logistic(a["x"])) + (1 - a["t"]) * np.log(1 - logistic(a["x"]))
    ).mean(-1),
    "nt_xent": contrast,
    "siglip": paired,
    "dice_loss": lambda a: 1
    - (2 * ((p := logistic(a["x"])) * a["t"]).sum(-1) + a["a"]) / ((p**2 + a["t"] ** 2).sum(-1) + a["a"]),
    "soft_iou": lambda a: 1
    - np.minimum(p := logistic(a["x"]), a["t"]).sum(-1) / (np.maximum(p, a["t"]).sum(-1) + a["eps"]),
    "residual_rms_norm": lambda a: {
        "z": a["x"] + a["r"], "y": a["weight"] * root_mean_square(a["x"] + a["r"], a["eps"]),
    },
    "gated_rms_norm": lambda a: a["weight"] * root_mean_square(a["x"], a["eps"]) * a["g"] * logistic(a["g"]),
    "ada_layer_norm": lambda a: (1 + a["scale"][:, None]) * normal(a["x"], a["eps"]) + a["shift"][:, None],
    "l2_normalise": lambda a: a["x"] / np.maximum(np.linalg.norm(a["x"], axis=-1, keepdims=True), a["eps"]),
    "scale_norm": lambda a: a["g"] * a["x"] / np.maximum(np.linalg.norm(a["x"], axis=-1, keepdims=True), a["eps"]),
    "perplexity": lambda a: np.exp(a["log_p"]).prod(-1) ** (-1 / a["log_p"].shape[-1]),
    "swiglu_rms_norm": lambda a: a["weight"] * root_mean_square(a["a"] * logistic(a["a"]) * a["b"], a["eps"]),
    "absmax_quant": lambda a: {
        "scale": (s := np.maximum(np.abs(a["x"]).max(-1), 1e-5) / 127),
        "q": np.clip(np.rint(a["x"] / s[:, None]), -128, 127),
    },
    "hard_attention": lambda a: a["v"][[(a["k"][: n + 1] @ q).argmax() for n, q in enumerate(a["q"])]],
    "soft_argmax": lambda a: softmax(a["x"]) @ np.arange(a["x"].shape[-1]),
    "vq_nearest": lambda a: {
        "code": (at := ((a["z"][:, None] - a["codebook"]) ** 2).sum(-1).argmin(-1)), "y": a["codebook"][at],
    },
    "moe_router": lambda a: {
        "first": (best := np.argsort(-a["logits"], -1, kind="stable"))[:, 0], "other": best[:, 1],
        "weight": (p := softmax(np.take_along_axis(a["logits"], best[:, :2], -1)))[:, 0], "rest": p[:, 1],
    },
    "switch_router": lambda a: {"expert": a["x"].argmax(-1), "gate": softmax(a["x"]).max(-1)},
    "t5_bias": lambda a: over_heads(
        graph_scores(a, lambda h, i, j: a["weight"][h, a["bucket"][i, j]], 1.0), a["v"]
    ),
    "transfusion_mask": lambda a: attend(
        scores(a, lambda i, j: j <= i or a["row"][i] == a["key"][j] >= 0), a["v"]
    ),
    "tree_mask": lambda a: attend(
        scores(a, lambda i, j: a["first"][j] <= a["enter"][i] <= a["last"][j]), a["v"]
    ),
    "triangle_attention": lambda a: logistic(a["gate"]) * over_heads(
        graph_scores(a, lambda r, i, j: a["b"][i, j], math.sqrt(a["q"].shape[-1])), a["v"]
    ),
    "triplet_loss": lambda a: np.array([
        max(0.0, a["margin"] + max((d for d, c in zip(row, a["label"], strict=True) if c == mine), default=-np.inf)
            - min((d for d, c in zip(row, a["label"], strict=True) if c != mine), default=np.inf))
        for row, mine in zip(a["distance"], a["mine"], strict=True)
    ]),
    "variance": lambda a: {"mean": a["x"].mean(-1), "variance": a["x"].var(-1, ddof=1)},
    "viterbi_step": lambda a: {
        "y": (s := a["a"][:, :, None] + a["t"]).max(1) + a["b"], "come_from": s.argmax(1),
    },
    "weight_standardisation": lambda a: (a["w"] - mean(a["w"])) / (a["w"].std(-1, keepdims=True) + a["eps"]),
    "weighted_mean": lambda a: (a["w"] * a["x"]).sum(-1) / a["w"].sum(-1),
    "retention": lambda a: np.array(
        [sum((a["gamma"] ** (i - j) * (q @ a["k"][j]) * a["v"][j] for j in range(min(i + 1, len(a["k"])))),
             np.zeros(a["v"].shape[1])) for i, q in enumerate(a["q"])]
    ),
    "forgetting_attention": lambda a: attend(
        scores(a, lambda i, j: j <= i) + a["c"][:, None] - a["past"][None, :], a["v"]
    ),
    "ssmax_attention": lambda a: attend(
        np.array([[a["scale"] * math.log(i + 1) * (q @ k) if j <= i else -np.inf for j, k in enumerate(a["k"])]
                  for i, q in enumerate(a["q"])]), a["v"]
    ),
    "attention_backward_q": lambda a: (
        np.exp(scores(a) - a["lse"][:, None]) * (a["do"] @ a["v"].T - a["delta"][:, None])
    ) @ a["k"] / math.sqrt(a["k"].shape[-1]),
    "cog_attention": lambda a: np.sign(s := scores(a)) * softmax(np.abs(s)) @ a["v"],
    "tropical_attention": lambda a: np.array(
        [[max(v - np.ptp(q - k) for k, v in zip(a["k"], column, strict=True)) for column in a["v"].T] for q in a["q"]]
    ),
    "polynomial_attention": lambda a: (w := np.tril(scores(a) ** 4)) @ a["v"] / (1 + w.sum(-1, keepdims=True)),
    "seed_norm": lambda a: (np.tanh(a["x"] @ a["b"])[:, None] * a["a"] + a["g"]) * a["x"] / np.sqrt(
        mean(a["x"] ** 2) + a["eps"]
    ),
    "unbalanced_sinkhorn": lambda a: -a["t"] / (1 + a["t"] / a["r"]) * lse((a["g"] - a["c"]) / a["t"] + a["b"]),
    "dpo": lambda a: np.log1p(
        np.exp(-a["beta"] * (a["won"] - a["won_ref"] - a["lost"] + a["lost_ref"]).sum(-1))
    ),
    "inverse_distance_attention": lambda a: (
        w := 1 / (a["eps"] + ((a["q"][:, None] - a["k"]) ** 2).sum(-1))
    ) @ a["v"] / w.sum(-1, keepdims=True),
    "soft_moe": lambda a: {
        "slots": softmax((s := a["x"] @ a["f"].T).T) @ a["v"], "tokens": softmax(s) @ a["y"],
    },
    "agent_attention": lambda a: attend(
        scores({"q": a["q"], "k": a["agent"]}), attend(scores({"q": a["agent"], "k": a["k"]}), a["v"])
    ),
    "colbert": lambda a: np.array([
        sum((max((q @ u for u in k[:max(n, 0)]), default=-np.inf) for q in a["q"]), 0.0)
        for k, n in zip(a["k"], a["length"], strict=True)
    ]),
    "tensor_quant": lambda a: {
        "scale": (s := max(np.abs(a["x"]).max(), 1e-5) / 127), "q": np.clip(np.rint(a["x"] / s), -128, 127),
    },
    "dora_norm": lambda a: np.linalg.norm(a["w"] + a["s"] * a["b"] @ a["a"], axis=-1),
    "dora_factored": lambda a: np.linalg.norm(a["w"] + a["s"] * a["b"] @ a["a"], axis=-1),
    "padded_batch": lambda a: kept(a, lambda b, j: j < a["length"][b]),
    "padding_mask": lambda a: kept(a, lambda b, j: a["keep"][b, j] > 0),
    "k_max_pooling": lambda a: largest(a["x"], 3)[0].mean(-1),
}  # fmt: skip
