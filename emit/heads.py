"""What every SymPy head is in eager torch, and in the launcher's Python."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from refold.algebra.base2 import exp2
from refold.spec.heads import nearest, sigmoid


@dataclass(frozen=True, slots=True)
class Forms:
    """One head as text over its argument `{x}`, closed as a call is."""

    torch: str
    host: str


FORMS: dict[type[sp.Basic], Forms] = {
    sp.exp: Forms("torch.exp({x})", "_real(math.exp, {x})"),
    exp2: Forms("torch.exp2({x})", "_real(math.exp2, {x})"),
    sp.log: Forms("torch.log({x})", "_real(math.log, {x})"),
    sp.tanh: Forms("torch.tanh({x})", "math.tanh({x})"),
    sigmoid: Forms("torch.sigmoid({x})", "(0.5 + 0.5 * math.tanh(0.5 * ({x})))"),
    sp.sin: Forms("torch.sin({x})", "math.sin({x})"),
    sp.cos: Forms("torch.cos({x})", "math.cos({x})"),
    sp.erf: Forms("torch.erf({x})", "math.erf({x})"),
    sp.Abs: Forms("torch.abs({x})", "abs({x})"),
    nearest: Forms("torch.round({x})", "_real(round, {x})"),
}

# Heads that are arithmetic, structure or data, which every printer has a case for.
STRUCTURAL = ("Add", "Mul", "Pow", "Max", "Min", "floor", "Mod", "Read", "Fold", "Where")
