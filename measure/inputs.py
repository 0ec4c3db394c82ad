"""Loads a bundle and draws inputs for it: random, of the sizes and the dtype asked for."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from refold.measure.case import Case


def load(folder: Path, name: str) -> ModuleType:
    """The module NAME.py of a bundle."""
    spec = importlib.util.spec_from_file_location(f"refold_measured_{name}", folder / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def draw(case: Case, module: ModuleType, size: dict[str, int], device: str) -> dict[str, Any]:
    """One set of inputs on the device, floats from the normal distribution, or their sizes; quantised once."""
    g = torch.Generator(device).manual_seed(sum(size.values()))
    found = {}
    for name, axes in module.TABLES.inputs.items():
        shape = [*(case.lead if name in case.led else ()), *(size[a] for a in axes)]
        kind = module.TABLES.dtypes[name]
        if name not in case.integers:
            dtype = getattr(torch, case.dtype if kind == "float" else kind)
            x = torch.randn(shape, generator=g, device=device, dtype=torch.float32)
            found[name] = (x.abs() + 0.125 if name in case.positive else x).to(dtype)
            continue
        axis, mark = case.integers[name]
        if axis or len(shape) != 1:
            x = torch.randint(0, max(1, size.get(axis, 3)), shape, generator=g, device=device)
        else:
            x = torch.arange(shape[0], device=device) * 8 // max(1, shape[0])  # the ids of eight runs, in order
        if mark is not None:
            x = torch.where(torch.rand(shape, generator=g, device=device) < 0.25, mark, x)
        found[name] = x.to(getattr(torch, kind))
    return found


def many(module: ModuleType, result: Any) -> dict[str, Any]:
    """The outputs by their names."""
    return result if isinstance(result, dict) else {next(iter(module.TABLES.outputs)): result}


def keywords(case: Case, size: dict[str, int]) -> dict[str, Any]:
    """What the launcher is given beside tensors."""
    return dict(case.scalars) | {a: size[a] for a in case.keywords}
