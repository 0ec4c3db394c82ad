"""point_attention: o in 1 stage, emitted by refold from proved plans.

    s[h,i,j] = (Σ_d k[h,j,d]·q[h,i,d])/√|d|
    s2[h,i,j] = (Σ_p (q_points[h,i,p] - k_points[h,j,p])²)·w[h]
    m[h,i] = max_j (b[h,i,j] + s[h,i,j] - s2[h,i,j])
    p2[h,i,j] = exp(b[h,i,j] + s[h,i,j] - m[h,i] - s2[h,i,j])
    o[h,i,e] = (Σ_j p2[h,i,j]·v[h,j,e])/(Σ_j p2[h,i,j])
    o_pairs[h,i,c] = (Σ_j p2[h,i,j]·pairs[i,j,c])/(Σ_j p2[h,i,j])
    o_points[h,i,x] = (Σ_j p2[h,i,j]·points[h,j,x])/(Σ_j p2[h,i,j])

Stage 1, point_attention_1.py, over j:

    s[h,i,j] = (Σ_d k[h,j,d]·q[h,i,d])/√|d|
    s2[h,i,j] = (Σ_p k_points[h,j,p]² + Σ_p q_points[h,i,p]² - 2·(Σ_p k_points[h,j,p]·q_points[h,i,p]))·w[h]
    m[h,i] = max_j (b[h,i,j] + s[h,i,j] - s2[h,i,j])
    p2[h,i,j] = exp(b[h,i,j] + s[h,i,j] - m[h,i] - s2[h,i,j])
    o[h,i,e] = (Σ_j p2[h,i,j]·v[h,j,e])/(Σ_j p2[h,i,j])
    o_pairs[h,i,c] = (Σ_j p2[h,i,j]·pairs[i,j,c])/(Σ_j p2[h,i,j])
    o_points[h,i,x] = (Σ_j p2[h,i,j]·points[h,j,x])/(Σ_j p2[h,i,j])

The proofs are point_attention_1.proof.json. Needs torch and triton alone.
It has not been run yet.
"""

import hashlib
import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import torch
import triton
import triton.language as tl


def load_beside(file: str, content: str) -> ModuleType:
    """A file beside this one, as a module of its content: other bundles may have another of that name."""
    name, path = f"{Path(file).stem}_{content}", Path(__file__).with_name(file)
    if name not in sys.modules:
        if not path.is_file():
            raise ImportError(f"{path} is missing: copy it from the folder that {Path(__file__).name} comes from")
        if hashlib.sha256(path.read_bytes()).hexdigest()[:16] != content:
            raise ImportError(f"{path} is not the one that {Path(__file__).name} was emitted with: emit it again")
        found = importlib.util.spec_from_file_location(name, path)
        assert found is not None and found.loader is not None
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        sys.modules[name] = module
    return sys.modules[name]


rt = load_beside("refold_runtime.py", "of that file")
TABLES = rt.Tables(
    name="point_attention",
    inputs={"q": ("h", "i", "d",), "k": ("h", "j", "d",), "b": ("h", "i", "j",), "q_points": ("h", "i", "p",), "k_points": ("h", "j", "p",), "w": ("h",), "v": ("h", "j", "e",), "pairs": ("i", "j", "c",), "points": ("h", "j", "x",)},
    outputs={"o": ("h", "i", "e",), "o_pairs": ("h", "i", "c",), "o_points": ("h", "i", "x",)},
    dtypes={"q": "float", "k": "float", "b": "float", "q_points": "float", "k_points": "float", "w": "float", "v": "float", "pairs": "float", "points": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62),
)
_STAGES = (
    rt.Stage(load_beside("point_attention_1.py", "of that file").point_attention_1, ("q", "k", "b", "q_points", "k_points", "w", "v", "pairs", "points"), {}, ("o", "o_pairs", "o_points")),
)
_FLATS = ()


def point_attention(q, k, b, q_points, k_points, w, v, pairs, points, *, out=None, schedule="auto",
                    splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """q [..., h, i, d]; k [..., h, j, d]; b [..., h, i, j]; q_points [..., h, i, p]; k_points [..., h, j, p]; w [..., h]; v [..., h, j, e]; pairs [..., i, j, c]; points [..., h, j, x] -> o [..., h, i, e]; o_pairs [..., h, i, c]; o_points [..., h, i, x], stage after stage; the options are those of every stage."""
    inputs, words = {"q": q, "k": k, "b": b, "q_points": q_points, "k_points": k_points, "w": w, "v": v, "pairs": pairs, "points": points}, {}
    options = {
        "schedule": schedule, "splits": splits, "block_m": block_m, "block_n": block_n, "num_warps": num_warps,
        "num_stages": num_stages,
    }
    lengths = {}
    return rt.run_stages(TABLES, _STAGES, _FLATS, lengths, inputs, words, out, options)


def reference(q, k, b, q_points, k_points, w, v, pairs, points):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"q": q, "k": k, "b": b, "q_points": q_points, "k_points": k_points, "w": w, "v": v, "pairs": pairs, "points": points}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = q.dtype, q.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    s = torch.einsum("...ace,...abe->...abc", k, q) / math.sqrt(size["d"])
    s2 = ((q_points[..., :, :, None, :] - k_points[..., :, None, :, :]) ** 2).sum(-1) * w[..., :, None, None]
    m = rt.largest(s + b - s2, -1)
    p2 = torch.exp(s + b - m[..., :, :, None] - s2)
    out["o"] = rt.full(torch.einsum("...acf,...abc->...abf", v, p2) / p2.sum(-1)[..., :, :, None], lead + (size["h"], size["i"], size["e"],), dtype, device)
    out["o_pairs"] = rt.full(torch.einsum("...bcd,...abc->...abd", pairs, p2) / p2.sum(-1)[..., :, :, None], lead + (size["h"], size["i"], size["c"],), dtype, device)
    out["o_points"] = rt.full(torch.einsum("...ach,...abc->...abh", points, p2) / p2.sum(-1)[..., :, :, None], lead + (size["h"], size["i"], size["x"],), dtype, device)
    return rt.result(out)
