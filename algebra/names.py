"""Names for elements, anchors and accumulators: those of the field where it has them, each used once."""

from __future__ import annotations

import sympy as sp

from refold.algebra.plan import Fresh, Varying
from refold.algebra.rewrite import walk
from refold.spec import Fold, Index, Read, Spec, Where


class Names:
    """The names taken so far in one derivation, those of the spec to begin with."""

    def __init__(self, spec: Spec) -> None:
        self.taken = {str(x.name) for group in (spec.tensors, spec.params, spec.axes, spec.outputs) for x in group}
        self.elements: set[str] = set()

    def take(self, base: str) -> str:
        """`base`, or `base2`, `base3`, ... (`M2_2` where it ends in a digit)."""
        name = self.free(base)
        self.taken.add(name)
        return name

    def free(self, base: str) -> str:
        """The name that `take` would give."""
        if base not in self.taken:
            return base
        n = 2
        while f"{base}{n}" in self.taken or f"{base}_{n}" in self.taken:
            n += 1
        return f"{base}_{n}" if base[-1].isdigit() else f"{base}{n}"

    def element(self, expr: sp.Expr, axis: Index) -> str:
        """A read by its tensor, a position by its axis, a score or a mask `s`, anything else `c`."""
        plain = expr.name if isinstance(expr, Read) else axis.name if expr == axis else ""
        if plain and plain not in self.elements:
            name = plain
        elif any(isinstance(n, Where | Fold) for n in walk(expr)):
            name = self.free("s")
        else:
            name = self.free(plain or "c")
        self.elements.add(name)
        self.taken.add(name)
        return name

    def accumulator(self, fold: Fold, phi: sp.Expr, axes: tuple[Index, ...]) -> str:
        """m for a maximum, n a count, Mk a central moment, mean, l a sum of weights, acc a weighted sum, else t."""
        if fold.kind != "sum":
            return self.free({"max": "m", "min": "w", "prod": "p", "count": "n"}.get(fold.kind, fold.kind))
        if power := central_power(phi):
            return self.free(f"M{power}")
        factors = sp.Mul.make_args(fold.body)
        if any(
            isinstance(f, sp.Pow) and f.exp == -1 and isinstance(f.base, Fold) and f.base.kind == "count"
            for f in factors
        ):
            return self.free("mean")
        if any(not isinstance(f, sp.exp) and f.has(Fresh) for f in sp.Mul.make_args(phi)) or not phi.has(sp.exp):
            return self.free("t")
        inside = {s for f in factors if isinstance(f, sp.exp) for s in f.free_symbols}
        weighted = any(a not in inside for a in axes) or not isinstance(phi, sp.exp)
        return self.free("acc" if weighted else "l")

    def member(self, family: str, phi: sp.Expr) -> str:
        """A further accumulator of a family."""
        power = central_power(phi)
        return self.free(f"M{power}" if power else family)


def central_power(phi: sp.Expr) -> int:
    """k for `(c - r)^k` with k >= 2, else 0."""
    if isinstance(phi, sp.Pow) and phi.exp.is_Integer and phi.exp >= 2 and phi.base.is_Add and phi.base.has(Varying):
        return int(phi.exp)
    return 0


def is_count(expr: sp.Basic) -> bool:
    """Whether an expression is a count over an axis."""
    return isinstance(expr, Fold) and expr.kind == "count"
