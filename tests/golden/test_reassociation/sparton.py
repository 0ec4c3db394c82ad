"""sparton: w in 1 stage, emitted by refold from proved plans.

    w[b,v] = max_t (log(max(0, Σ_d e[v,d]·h[b,t,d]) + 1) where t < length[b], else -∞)

Stage 1, sparton_1.py, over t:

    w[b,v] = log(max(0, max_t (Σ_d e[v,d]·h[b,t,d] where t < length[b], else -∞)) + 1) where any_t (1 where t < length[b], else 0) > 0, else -∞

The proofs are sparton_1.proof.json. Needs torch and triton alone.
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
    name="sparton", inputs={"length": ("b",), "h": ("b", "t", "d",), "e": ("v", "d",)}, outputs={"w": ("b", "v",)},
    dtypes={"length": "int32", "h": "float", "e": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62),
)
_STAGES = (
    rt.Stage(load_beside("sparton_1.py", "of that file").sparton_1, ("length", "h", "e"), {}, ("w",)),
)
_FLATS = ()


def sparton(length, h, e, *, out=None, schedule="auto",
            splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """length [..., b]; h [..., b, t, d]; e [..., v, d] -> w [..., b, v], stage after stage; the options are those of every stage."""
    inputs, words = {"length": length, "h": h, "e": e}, {}
    options = {
        "schedule": schedule, "splits": splits, "block_m": block_m, "block_n": block_n, "num_warps": num_warps,
        "num_stages": num_stages,
    }
    lengths = {}
    return rt.run_stages(TABLES, _STAGES, _FLATS, lengths, inputs, words, out, options)


def reference(length, h, e):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"length": length, "h": h, "e": e}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = h.dtype, h.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    t = torch.arange(size["t"], device=device)
    out["w"] = rt.full(rt.largest(rt.where((t[..., None, :] < length[..., :, None])[..., :, :, None], torch.log(torch.einsum("...cd,...abd->...abc", e, h).clamp(min=0) + 1), -math.inf, dtype, device), -2), lead + (size["b"], size["v"],), dtype, device)
    return rt.result(out)
