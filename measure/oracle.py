"""Says how far a result is from the float64 reference, and how far it may be: nothing chosen, all of it measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch

from refold.measure.case import Case
from refold.measure.inputs import keywords, many

# What the reference holds at once, in tensors of one element for each row and position, with room.
TENSORS = 10


@dataclass(frozen=True, slots=True)
class Verdict:
    """The largest absolute error of an output, and what is allowed."""

    error: float
    bound: float

    @property
    def correct(self) -> bool:
        return self.error <= self.bound


@dataclass(frozen=True, slots=True)
class Exact:
    """The outputs in float64 of the part that `size` and `lead` leave, and the bound for each."""

    case: Case
    module: ModuleType
    size: dict[str, int]
    lead: tuple[int, ...]
    value: dict[str, Any]
    bound: dict[str, float]

    def judge(self, results: dict[str, Any]) -> Verdict:
        """Of the output that is worst compared with its bound. What is undefined elsewhere, or mostly, is infinite."""
        worst = Verdict(0.0, 0.0)
        for name, value in self.value.items():
            got = part(results[name], self.lead, self.module.TABLES.outputs[name], self.size).double()
            finite = value.isfinite()
            same = torch.where(value.isnan(), got.isnan(), got == value) | finite
            error = float("inf")
            # A comparison of what is mostly no number is void.
            void = finite.numel() > 0 and float(finite.double().mean()) < 0.75
            if not void and bool(same.all()) and bool(got[finite].isfinite().all()):
                error = _largest(got - value, finite)
            found = Verdict(error, self.bound[name])
            if found.error - found.bound >= worst.error - worst.bound or worst == Verdict(0.0, 0.0):
                worst = found
        return worst


def exact(case: Case, module: ModuleType, inputs: dict[str, Any], size: dict[str, int], room: float) -> Exact | None:
    """The outputs in float64 and how far a kernel may be from them; of a part where all of it has no room in memory.

    As in the emitted test: twice the error of the eager form in the same dtype, one rounding of the result, and what
    the result changes by when the inputs change by one rounding of float32, four times. None where a part that can be
    computed on its own is too large as well.
    """
    cut, lead = dict(size), case.lead
    if footprint(case, cut, lead) > room:
        cut |= dict.fromkeys(case.cut, 1)
        lead = tuple(1 for _ in lead)
    if footprint(case, cut, lead) > room:
        return None
    given = {n: part(x, lead if n in case.led else (), module.TABLES.inputs[n], cut) for n, x in inputs.items()}
    dtype = next((x.dtype for x in given.values() if x.dtype.is_floating_point), torch.float32)
    said = keywords(case, cut)

    def reference(kind: Any, factor: Any = None) -> dict[str, Any]:
        floats = {n: x if n in case.integers else x.to(kind) for n, x in given.items()}
        if factor is not None:
            floats = {n: x if n in case.integers else x * factor(x) for n, x in floats.items()}
        return many(module, module.reference(*floats.values(), **said))

    g = torch.Generator(next(iter(given.values())).device).manual_seed(0)

    def rounding(x: Any) -> Any:
        sign = torch.randint(0, 2, x.shape, generator=g, device=x.device).to(x) * 2 - 1
        return 1 + torch.finfo(torch.float32).eps * sign

    values = reference(torch.float64)
    whole = {n: v for n, v in values.items() if not v.dtype.is_floating_point}
    bounds = dict.fromkeys(whole, 0.0)
    floats = {n: v for n, v in values.items() if n not in whole}
    # Beyond the range of the dtype.
    floats = {n: v.to(dtype).double().where(v.to(dtype).isinf(), v) for n, v in floats.items()}
    eager, wide = reference(dtype), reference(torch.float32)
    for name, value in floats.items():
        finite = value.isfinite()
        peer = torch.where(eager[name].isfinite(), eager[name], wide[name].to(dtype)).double()
        # Where the pipeline as written overflows in float32 too, it allows no error of its own.
        peer = torch.where(peer.isfinite(), peer, value)
        scale = float(value[finite].abs().max()) if bool(finite.any()) else 0.0
        bounds[name] = 2 * _largest(peer - value, finite) + torch.finfo(dtype).eps * scale
    del eager, wide
    for _ in range(4):
        moved = reference(torch.float64, rounding)
        for name, value in floats.items():
            bounds[name] += _largest(moved[name] - value, value.isfinite())
    return Exact(case, module, cut, lead, {n: v.double() for n, v in (whole | floats).items()}, bounds)


def part(tensor: Any, lead: tuple[int, ...], axes: tuple[str, ...], size: dict[str, int]) -> Any:
    """The last `size` positions of every axis, and the last ones of the leading dimensions: offset 0 hides much."""
    for n, length in enumerate((*lead, *(size[a] for a in axes)), start=tensor.dim() - len(lead) - len(axes)):
        tensor = tensor.narrow(n, tensor.shape[n] - length, length)
    return tensor


def footprint(case: Case, size: dict[str, int], lead: tuple[int, ...], itemsize: int = 8) -> float:
    """Bytes that the eager reference takes: its largest tensor, several times."""
    return float(math.prod((*lead, *(size[a] for a in case.held)))) * itemsize * TENSORS


def _largest(difference: Any, where: Any) -> float:
    return float(difference[where].abs().max()) if bool(where.any()) else 0.0
