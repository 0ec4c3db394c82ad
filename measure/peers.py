"""Makes the calls to time: the kernel's eager form, what torch compiles of it, and each library that has the same."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F

from refold.measure.case import Attention, Call, Case
from refold.measure.inputs import keywords, many
from refold.measure.oracle import footprint

LIGER = "liger_kernel.transformers.functional"
NAMES = ("eager", "torch.compile", "FlexAttention", "SDPA flash", "SDPA cuDNN", "library", "Liger")


@dataclass(frozen=True, slots=True)
class Peer:
    """Someone who computes the same: `run` under `within`, then `outputs` of what it gave, by name."""

    name: str
    run: Callable[[], Any]
    outputs: Callable[[Any], dict[str, Any]]
    within: Callable[[], AbstractContextManager[Any]] = nullcontext
    note: str = ""


@dataclass(frozen=True, slots=True)
class Missing:
    """Someone who is not in the comparison, and why."""

    name: str
    why: str


Maker = Callable[[], Peer | Missing]


def makers(
    case: Case, module: ModuleType, inputs: dict[str, Any], size: dict[str, int], room: float, wanted: tuple[str, ...]
) -> dict[str, Maker]:
    """Who is asked, by name, each made when its turn comes: a mask of blocks takes memory and time."""
    table: dict[str, Maker] = {
        "eager": lambda: _eager(case, module, inputs, size, room, compiled=False),
        "torch.compile": lambda: _eager(case, module, inputs, size, room, compiled=True),
        "FlexAttention": lambda: _flex(case, module, inputs, size),
        "SDPA flash": lambda: _sdpa(case, module, inputs, size, "SDPA flash", "FLASH_ATTENTION"),
        "SDPA cuDNN": lambda: _sdpa(case, module, inputs, size, "SDPA cuDNN", "CUDNN_ATTENTION"),
    }
    for call in case.calls:
        if ("Liger" if call.label.startswith("Liger") else "library") in wanted:
            table[call.label] = partial(_library, case, module, inputs, call)
    if "library" in wanted and not case.calls and case.attention is None:
        table["library"] = lambda: Missing("library", "no function of torch or Liger is known to be equal")
    return {name: make for name, make in table.items() if name in wanted or name not in NAMES}


def _eager(
    case: Case, module: ModuleType, inputs: dict[str, Any], size: dict[str, int], room: float, *, compiled: bool
) -> Peer | Missing:
    name = "torch.compile" if compiled else "eager"
    item = next((x.element_size() for x in inputs.values() if x.dtype.is_floating_point), 4)
    need = footprint(case, size, case.lead, item)
    if need > room:
        return Missing(name, f"its tensors would take about {need / 2**30:.0f} GiB")
    words = keywords(case, size)
    call = torch.compile(module.reference, dynamic=False) if compiled else module.reference
    return Peer(name, lambda: call(*inputs.values(), **words), lambda result: many(module, result))


def _library(case: Case, module: ModuleType, inputs: dict[str, Any], call: Call) -> Peer | Missing:
    scope = {"torch": torch, "F": F} | inputs | case.scalars
    if call.label.startswith("Liger"):
        try:
            scope["liger"] = importlib.import_module(LIGER)
        except ImportError as error:
            return Missing(call.label, f"cannot be imported: {error}")
    run = eval(f"lambda: {call.text}", scope)  # a text of refold.measure.library
    return Peer(call.label, run, lambda result: many(module, result))


def mod(arguments: str, text: str, case: Case, size: dict[str, int], inputs: dict[str, Any]) -> Any:
    """A mask_mod or score_mod from the text of a predicate or a score; tensors other than q, k and v are captured."""
    a = case.attention
    assert a is not None
    captured = {n: x.float() if x.dtype.is_floating_point else x for n, x in inputs.items() if n not in (a.q, a.k, a.v)}
    scope = {"torch": torch, "math": math, "size": size, "_ratio": _ratio, "_real": _real} | case.scalars | captured
    exec(f"def mod({arguments}):\n    return {text}\n", scope)
    return scope["mod"]


def _ratio(a: Any, b: Any) -> Any:
    return a / b


def _real(function: Any, *args: Any) -> Any:
    return function(*args)


MASK, SCORE = "b_idx, h_idx, q_idx, kv_idx", "score, b_idx, h_idx, q_idx, kv_idx"


def views(case: Case, module: ModuleType, inputs: dict[str, Any]) -> tuple[Any, Any, Any]:
    """q, k and v as [batch, heads, length, dim]: views, one head where k and v are shared by all."""
    a = case.attention
    assert a is not None

    def view(name: str, wanted: tuple[str, ...]) -> Any:
        axes, x = module.TABLES.inputs[name], inputs[name]
        lead = x.dim() - len(axes)
        x = x.permute(*range(lead), *(lead + axes.index(w) for w in wanted if w))
        for n, w in enumerate(wanted):
            x = x if w else x.unsqueeze(lead + n)
        return x[(None,) * (4 - x.dim())]

    return (
        view(a.q, (*a.batch, a.rows, a.d)), view(a.k, (*a.shared, a.keys, a.d)), view(a.v, (*a.shared, a.keys, a.e)),
    )  # fmt: skip


def restored(case: Case, module: ModuleType) -> Callable[[Any], dict[str, Any]]:
    """From [batch, heads, length, dim] back to the output as the pipeline has it."""
    a = case.attention
    assert a is not None
    ((name, axes),) = module.TABLES.outputs.items()

    def back(result: Any) -> dict[str, Any]:
        x = result if a.rows else result.squeeze(2)
        given = [*a.batch, *([a.rows] if a.rows else []), a.e]
        while x.dim() > len(case.lead) + len(given):
            x = x.squeeze(0)
        lead = x.dim() - len(given)
        return {name: x.permute(*range(lead), *(lead + given.index(w) for w in axes))}

    return back


def scale(case: Case, size: dict[str, int]) -> float:
    """What the products of q and k are multiplied by."""
    assert case.attention is not None
    return float(
        eval(case.attention.scale, {"math": math, "size": size, "_ratio": _ratio, "_real": _real} | case.scalars)
    )


def _flex(case: Case, module: ModuleType, inputs: dict[str, Any], size: dict[str, int]) -> Peer | Missing:
    a = case.attention
    if a is None:
        return Missing("FlexAttention", case.why)
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    q, k, v = views(case, module, inputs)
    score = mod(SCORE, a.score, case, size, inputs) if a.score else None
    blocks, note = None, ""
    if a.mask:
        mask = mod(MASK, a.mask, case, size, inputs)
        batch = q.shape[0] if "b_idx" in a.mask else None
        heads = q.shape[1] if "h_idx" in a.mask else None
        blocks = create_block_mask(mask, batch, heads, q.shape[2], k.shape[2], device=q.device)
        note = "its block mask made beforehand"
    call = torch.compile(flex_attention, dynamic=False)
    said = {
        "score_mod": score,
        "block_mask": blocks,
        "scale": scale(case, size),
        "enable_gqa": q.shape[1] != k.shape[1],
    }
    return Peer("FlexAttention", lambda: call(q, k, v, **said), restored(case, module), note=note)


def _sdpa(
    case: Case, module: ModuleType, inputs: dict[str, Any], size: dict[str, int], name: str, backend: str
) -> Peer | Missing:
    a = case.attention
    if a is None:
        return Missing(name, case.why)
    why = _beyond_sdpa(a, size)
    if why:
        return Missing(name, why)
    from torch.nn.attention import SDPBackend, sdpa_kernel

    q, k, v = views(case, module, inputs)
    said = {"is_causal": a.causal, "scale": scale(case, size), "enable_gqa": q.shape[1] != k.shape[1]}
    run = lambda: F.scaled_dot_product_attention(q, k, v, **said)  # noqa: E731
    return Peer(name, run, restored(case, module), lambda: sdpa_kernel(getattr(SDPBackend, backend)))


def _beyond_sdpa(a: Attention, size: dict[str, int]) -> str:
    """Why SDPA's fused backends do not have it; "" where they do."""
    if a.score:
        return "has no score function"
    if a.mask and not a.causal:
        return "has no mask but the causal one without a tensor of its size"
    if a.causal and size[a.rows] != size[a.keys]:
        return "its causal mask is compared at equal lengths only"
    return ""
