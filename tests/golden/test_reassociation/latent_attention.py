"""latent_attention: o in 3 stages, emitted by refold from proved plans.

    s[h,i,j] = (Σ_d (Σ_r c[j,r]·w_k[h,d,r])·q[h,i,d] + Σ_x k_rope[j,x]·q_rope[h,i,x])/√(|d| + |x|)
    m[h,i] = max_j s[h,i,j]
    p[h,i,j] = exp(s[h,i,j] - m[h,i])
    o[h,i,e] = (Σ_j (Σ_r c[j,r]·w_v[h,e,r])·p[h,i,j])/(Σ_j p[h,i,j])

Stage 1, latent_attention_1.py, over d:

    pass1[h,i,r] = Σ_d q[h,i,d]·w_k[h,d,r]

Stage 2, latent_attention_2.py, over j:

    s[h,i,j] = (Σ_r c[j,r]·pass1[h,i,r] + Σ_x k_rope[j,x]·q_rope[h,i,x])/√(d_length + |x|)
    m[h,i] = max_j s[h,i,j]
    p[h,i,j] = exp(s[h,i,j] - m[h,i])
    pass1_2[h,i] = 1/(Σ_j p[h,i,j])
    pass1_3[h,i,r] = Σ_j c[j,r]·p[h,i,j]

Stage 3, latent_attention_3.py, over r:

    o[h,i,e] = (Σ_r pass1_3[h,i,r]·w_v[h,e,r])·pass1_2[h,i]

The proofs are latent_attention_1.proof.json, latent_attention_2.proof.json, latent_attention_3.proof.json. Needs torch and triton alone.
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
    name="latent_attention",
    inputs={"q": ("h", "i", "d",), "q_rope": ("h", "i", "x",), "c": ("j", "r",), "k_rope": ("j", "x",), "w_k": ("h", "d", "r",), "w_v": ("h", "e", "r",)},
    outputs={"o": ("h", "i", "e",)},
    dtypes={"q": "float", "q_rope": "float", "c": "float", "k_rope": "float", "w_k": "float", "w_v": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62),
)
_STAGES = (
    rt.Stage(load_beside("latent_attention_1.py", "of that file").latent_attention_1, ("q", "w_k"), {}, ("pass1",)),
    rt.Stage(load_beside("latent_attention_2.py", "of that file").latent_attention_2, ("q_rope", "c", "k_rope", "pass1"), {"d_length": "d_length"}, ("pass1_2", "pass1_3")),
    rt.Stage(load_beside("latent_attention_3.py", "of that file").latent_attention_3, ("w_v", "pass1_3", "pass1_2"), {}, ("o",)),
)
_FLATS = ()


def latent_attention(q, q_rope, c, k_rope, w_k, w_v, *, out=None, schedule="auto",
                     splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """q [..., h, i, d]; q_rope [..., h, i, x]; c [..., j, r]; k_rope [..., j, x]; w_k [..., h, d, r]; w_v [..., h, e, r] -> o [..., h, i, e], stage after stage; the options are those of every stage."""
    inputs, words = {"q": q, "q_rope": q_rope, "c": c, "k_rope": k_rope, "w_k": w_k, "w_v": w_v}, {}
    options = {
        "schedule": schedule, "splits": splits, "block_m": block_m, "block_n": block_n, "num_warps": num_warps,
        "num_stages": num_stages,
    }
    lengths = {"d_length": "d"}
    return rt.run_stages(TABLES, _STAGES, _FLATS, lengths, inputs, words, out, options)


def reference(q, q_rope, c, k_rope, w_k, w_v):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"q": q, "q_rope": q_rope, "c": c, "k_rope": k_rope, "w_k": w_k, "w_v": w_v}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = q.dtype, q.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    s = (torch.einsum("...acd,...abd->...abc", torch.einsum("...cf,...adf->...acd", c, w_k), q) + torch.einsum("...cg,...abg->...abc", k_rope, q_rope)) / math.sqrt(size["d"] + size["x"])
    m = rt.largest(s, -1)
    p = torch.exp(s - m[..., :, :, None])
    out["o"] = rt.full(torch.einsum("...ace,...abc->...abe", torch.einsum("...cf,...aef->...ace", c, w_v), p) / p.sum(-1)[..., :, :, None], lead + (size["h"], size["i"], size["e"],), dtype, device)
    return rt.result(out)
