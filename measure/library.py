"""Finds functions of torch and Liger that compute what a spec computes: by value, on random inputs in float64."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sympy as sp

from refold.errors import SpecError
from refold.measure.case import Call
from refold.spec import Index, Spec
from refold.spec.heads import Param, TensorName

FOLD, ROWS = 7, 5


@dataclass(frozen=True, slots=True)
class Function:
    """Texts over `x [rows, columns]`, `w` and `b [columns]`, integer `t [rows]` and the number `eps`."""

    label: str
    torch: str
    liger: str = ""


FUNCTIONS = (
    Function("F.softmax", "F.softmax({x}, -1)", "liger.liger_softmax({x})"),
    Function("F.log_softmax", "F.log_softmax({x}, -1)"),
    Function("torch.logsumexp", "torch.logsumexp({x}, -1)"),
    Function("torch.argmax", "torch.argmax({x}, -1)"),
    Function("torch.var", "torch.var({x}, -1, correction=0)"),
    Function(
        "F.rms_norm",
        "F.rms_norm({x}, {x}.shape[-1:], {w}, {eps})",
        "liger.liger_rms_norm({x}, {w}, {eps}, 0.0, 'llama', False)",
    ),
    Function(
        "F.layer_norm",
        "F.layer_norm({x}, {x}.shape[-1:], {w}, {b}, {eps})",
        "liger.liger_layer_norm({x}, {w}, {b}, {eps})",
    ),
    Function(
        "F.cross_entropy",
        "F.cross_entropy({x}, {t}, reduction='none')",
        "liger.liger_cross_entropy({x}, {t}, reduction='none')",
    ),
)


def calls_of(spec: Spec, fold: Index) -> tuple[Call, ...]:
    """The calls whose values are the spec's: those of torch are compared, those of Liger are taken for the same."""
    if len(spec.outputs) != 1 or any(a not in (fold, *spec.outputs[0].axes) for a in spec.axes):
        return ()
    inputs = _inputs(spec, fold)
    if inputs is None:
        return ()
    tensors, scalars = inputs
    try:
        wanted = spec(**{n: x.numpy() for n, x in tensors.items()}, **scalars)
    except SpecError:
        return ()
    found = []
    for function in FUNCTIONS:
        names = next((s for s in _slots(function, spec, fold) if _agrees(function, s, tensors, scalars, wanted)), None)
        if names is not None:
            found.append(Call(function.label, function.torch.format(**names)))
            if function.liger:
                found.append(Call(f"Liger {function.label.partition('.')[2]}", function.liger.format(**names)))
    return tuple(found)


def _inputs(spec: Spec, fold: Index) -> tuple[dict[str, Any], dict[str, float]] | None:
    import torch

    g = torch.Generator().manual_seed(0)
    tensors = {}
    for t in spec.tensors:
        shape = [FOLD if a == fold else ROWS for a in t.axes]
        if t.is_integer:
            tensors[t.name] = torch.randint(0, FOLD, shape, generator=g)
        else:
            tensors[t.name] = torch.randn(shape, generator=g, dtype=torch.float64)
    if any(p.is_integer for p in spec.params):
        return None
    return tensors, {p.name: 0.5 for p in spec.params}


def _slots(function: Function, spec: Spec, fold: Index) -> Iterator[dict[str, str]]:
    """Every way to put the tensors and scalars of a spec in the places of a call, each of them once."""
    places = [p for p in ("x", "w", "b", "t", "eps") if f"{{{p}}}" in function.torch]
    things: list[TensorName | Param] = [*spec.tensors, *spec.params]
    if len(places) != len(things):
        return
    for order in itertools.permutations(things):
        if all(_fits(place, thing, fold) for place, thing in zip(places, order, strict=True)):
            yield {place: thing.name for place, thing in zip(places, order, strict=True)}


def _fits(place: str, thing: sp.Basic, fold: Index) -> bool:
    if isinstance(thing, Param):
        return place == "eps"
    assert isinstance(thing, TensorName)
    if place == "t":
        return thing.is_integer and len(thing.axes) == 1 and fold not in thing.axes
    if thing.is_integer or thing.axes[-1:] != (fold,):
        return False
    return len(thing.axes) == 2 if place == "x" else len(thing.axes) == 1 and place in "wb"


def _agrees(
    function: Function, names: dict[str, str], tensors: dict[str, Any], scalars: dict[str, float], wanted: Any
) -> bool:
    import torch
    import torch.nn.functional as F

    try:
        got = eval(function.torch.format(**names), {"torch": torch, "F": F} | tensors | scalars)
    except (RuntimeError, TypeError, IndexError):
        return False
    value = torch.tensor(wanted, dtype=torch.float64)
    return got.shape == value.shape and torch.allclose(got.double(), value, rtol=1e-9, atol=1e-9)
