"""The public names of refold, each loaded from its layer on first use."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from refold.algebra import Gradient, Plan, Refusal, Staged, derive, gradient, stages
    from refold.emit import Kernel, Operator, compile, emit, load
    from refold.errors import RefoldError
    from refold.spec import (
        Ref,
        Scalar,
        Spec,
        Tensor,
        absolute,
        axes,
        cos,
        erf,
        exp,
        finite_or,
        fold,
        log,
        maximum,
        minimum,
        oo,
        pipeline,
        relu,
        sigmoid,
        sin,
        sqrt,
        tanh,
        where,
    )
    from refold.verify import Checked, Claim, Disproof, Proof, Record, claim, verify

__version__ = "0.1.0"

__all__ = [
    "Checked",
    "Claim",
    "Disproof",
    "Gradient",
    "Kernel",
    "Operator",
    "Plan",
    "Proof",
    "Record",
    "Ref",
    "RefoldError",
    "Refusal",
    "Scalar",
    "Spec",
    "Staged",
    "Tensor",
    "absolute",
    "axes",
    "claim",
    "compile",
    "cos",
    "derive",
    "emit",
    "erf",
    "exp",
    "finite_or",
    "fold",
    "gradient",
    "load",
    "log",
    "maximum",
    "minimum",
    "oo",
    "pipeline",
    "relu",
    "sigmoid",
    "sin",
    "sqrt",
    "stages",
    "tanh",
    "verify",
    "where",
]

_HOMES = {
    "refold.errors": "RefoldError",
    "refold.spec": "Ref Scalar Spec Tensor absolute axes cos erf exp finite_or fold log maximum minimum oo pipeline "
    "relu sigmoid sin sqrt tanh where",
    "refold.algebra": "Gradient Plan Refusal Staged derive gradient stages",
    "refold.verify": "Checked Claim Disproof Proof Record claim verify",
    "refold.emit": "Kernel Operator compile emit load",
}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


class _Package(ModuleType):
    """Keeps `refold.verify` and `refold.emit` the functions.

    Each shares its name with the layer it comes from, and Python binds a layer to its package once anything
    imports it: `from refold import verify` would give the one or the other, depending on what ran before.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, ModuleType) and name in _HOME:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
