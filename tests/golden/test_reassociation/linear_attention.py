"""linear_attention: o in 2 stages, emitted by refold from proved plans.

    t[i,j] = Σ_d (max(0, k[j,d]) + 1)·(max(0, q[i,d]) + 1)
    o[i,e] = (Σ_j t[i,j]·v[j,e])/(Σ_j t[i,j])

Stage 1, linear_attention_1.py, over j:

    pass1[d] = Σ_j (max(0, k[j,d]) + 1)
    pass1_2[d,e] = Σ_j (max(0, k[j,d]) + 1)·v[j,e]

Stage 2, linear_attention_2.py, over d:

    o[i,e] = (Σ_d (max(0, q[i,d]) + 1)·pass1_2[d,e])/(Σ_d (max(0, q[i,d]) + 1)·pass1[d])

The proofs are linear_attention_1.proof.json, linear_attention_2.proof.json. Needs torch and triton alone.
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
    name="linear_attention", inputs={"q": ("i", "d",), "k": ("j", "d",), "v": ("j", "e",)}, outputs={"o": ("i", "e",)},
    dtypes={"q": "float", "k": "float", "v": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62),
)
_STAGES = (
    rt.Stage(load_beside("linear_attention_1.py", "of that file").linear_attention_1, ("k", "v"), {}, ("pass1", "pass1_2")),
    rt.Stage(load_beside("linear_attention_2.py", "of that file").linear_attention_2, ("q", "pass1", "pass1_2"), {}, ("o",)),
)
_FLATS = ()


def linear_attention(q, k, v, *, out=None, schedule="auto",
                     splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """q [..., i, d]; k [..., j, d]; v [..., j, e] -> o [..., i, e], stage after stage; the options are those of every stage."""
    inputs, words = {"q": q, "k": k, "v": v}, {}
    options = {
        "schedule": schedule, "splits": splits, "block_m": block_m, "block_n": block_n, "num_warps": num_warps,
        "num_stages": num_stages,
    }
    lengths = {}
    return rt.run_stages(TABLES, _STAGES, _FLATS, lengths, inputs, words, out, options)


def reference(q, k, v):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"q": q, "k": k, "v": v}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = q.dtype, q.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    t = torch.einsum("...bc,...ac->...ab", k.clamp(min=0) + 1, q.clamp(min=0) + 1)
    out["o"] = rt.full(torch.einsum("...ab,...bd->...ad", t, v) / t.sum(-1)[..., :, None], lead + (size["i"], size["e"],), dtype, device)
    return rt.result(out)
