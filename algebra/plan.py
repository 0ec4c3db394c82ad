"""A plan: the accumulators, anchors and laws by which one pass, or any split, computes a pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import sympy as sp

from refold.spec import Index, Spec
from refold.spec.heads import UNITS, Symbol, TensorName, sigmoid

Reducer = Literal["sum", "max", "min", "prod", "any", "all", "count", "argmax"]
Class = Literal["F0", "F", "R"]


class State(Symbol):
    """The value of an accumulator, a real or, for max and min, possibly infinite."""

    compared = True

    def __new__(cls, name: str) -> State:
        return sp.Symbol.__new__(cls, name, extended_real=True)


class Fresh(Symbol):
    """The anchor after an update, written with a prime."""

    def __new__(cls, name: str) -> Fresh:
        return sp.Symbol.__new__(cls, name + "′", extended_real=True)


class Varying(Symbol):
    """What one position of the axis contributes to a law: a value that varies with the fold axis."""

    compared = True

    def __new__(cls, name: str) -> Varying:
        return sp.Symbol.__new__(cls, name, extended_real=True)


@dataclass(frozen=True, slots=True)
class Element:
    """A value that varies with the fold axis and holds no predecessor: `symbol` stands for `expr` in the laws.

    `infinite` is -1 where masking can make it -oo, +1 where +oo, 0 where it is always finite.
    """

    symbol: Varying
    expr: sp.Expr
    infinite: Literal[-1, 0, 1]


@dataclass(frozen=True, slots=True)
class Anchor:
    """What the accumulators are computed relative to: a function of earlier accumulators.

    `stale` is its value in the state that is corrected, `fresh` (primed) in the state after that; `expr` gives it over
    accumulators and constants. Where `regular` does not hold (no position yet, all of them masked) the fresh anchor
    is `default` instead, and so is the stale one outside of an exponent.
    """

    stale: State
    fresh: Fresh
    expr: sp.Expr
    regular: sp.Basic
    default: sp.Expr

    @property
    def is_never_zero(self) -> bool:
        """Whether it may be divided by wherever it is regular."""
        kept = sp.Ne(self.expr, 0, evaluate=False) in sp.And.make_args(self.regular)
        return kept or self.expr.is_zero is False or isinstance(self.expr, sp.exp | sigmoid)


@dataclass(frozen=True, slots=True)
class Family:
    """The law behind an accumulator: `basis(r', c) = matrix(r, r') basis(r, c)`, and what stands for each sum.

    `values[k]` is the sum of `basis[k]` over a state: an accumulator, or, where it was dropped, the expression
    `sum_i coefficient_i * accumulator_i` of `dropped[k]` with the anchors' definitions put in.
    """

    basis: tuple[sp.Expr, ...]
    matrix: sp.ImmutableDenseMatrix
    values: tuple[sp.Expr, ...]
    dropped: tuple[tuple[int, tuple[tuple[State, sp.Expr], ...]], ...]
    row: int = 0


@dataclass(frozen=True, slots=True)
class Accumulator:
    """One number that the fused loop carries (one for each position of `axes`).

    `element` is what one position contributes, over element symbols and fresh anchors; `correction` is the accumulator
    re-anchored: over accumulators, stale anchors and fresh anchors. For a state of several accumulators of one
    family `correction` reads the others too. `key`, for argmax, is the accumulator of the largest value.
    """

    symbol: State
    reducer: Reducer
    element: sp.Expr
    correction: sp.Expr
    axes: tuple[Index, ...]
    rank: int
    anchors: tuple[State, ...]
    key: State | None = None
    family: Family | None = None

    @property
    def unit(self) -> sp.Expr:
        return UNITS[self.reducer]


def counts(expr: sp.Basic, accumulators: Sequence[Accumulator]) -> tuple[sp.Basic, ...]:
    """That no maximum or minimum in an expression is its unit, as it is where no position counts."""
    extremes = sorted((a for a in accumulators if a.symbol in expr.free_symbols), key=lambda a: str(a.symbol))
    relations = {"max": sp.Gt, "min": sp.Lt}
    return tuple(relations[a.reducer](a.symbol, a.unit, evaluate=False) for a in extremes if a.reducer in relations)


@dataclass(frozen=True, slots=True)
class Reading:
    """A fold of the spec as the final state has it: `fold = expr` over accumulators.

    `expr` is the sum of `coefficient * accumulator` over `terms`, with coefficients that do not vary with the axis;
    what is no sum has one accumulator, and 1 for its coefficient. Folds that are left in `expr` are ones that the plan
    does without: it holds whatever their value is.
    """

    fold: sp.Expr
    expr: sp.Expr
    terms: tuple[tuple[State, sp.Expr], ...]

    @property
    def accumulators(self) -> tuple[State, ...]:
        """What it reads itself."""
        return tuple(symbol for symbol, _ in self.terms)


@dataclass(frozen=True, slots=True)
class Finish:
    """An output from the final state: `expr` over accumulators and constants, `empty` where `guard` fails."""

    name: str
    expr: sp.Expr
    axes: tuple[Index, ...]
    guard: sp.Basic
    empty: sp.Expr


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the derivation: a rule by its name and formula, and what it made of what."""

    rule: str
    before: sp.Basic | None
    after: sp.Basic | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Condition:
    """`claim` must hold wherever `where` evaluates; `guarded` when the kernel tests it at run time."""

    claim: sp.Basic
    where: str
    guarded: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """The fused form of a spec over one axis; every schedule (rolling, split, one by one) is a use of it.

    `accumulators` stand in the order of their updates: each reads only anchors over earlier ones.
    """

    spec: Spec
    axis: Index
    elements: tuple[Element, ...]
    anchors: tuple[Anchor, ...]
    accumulators: tuple[Accumulator, ...]
    readings: tuple[Reading, ...]
    finish: tuple[Finish, ...]
    conditions: tuple[Condition, ...]
    steps: tuple[Step, ...]

    @property
    def kind(self) -> Class:
        """F0: no correction; F: corrections of rank 1; R: of a higher rank."""
        ranks = [a.rank for a in self.accumulators]
        return "R" if max(ranks, default=0) > 1 else "F" if any(a.anchors for a in self.accumulators) else "F0"

    @property
    def tensors(self) -> tuple[TensorName, ...]:
        """The tensors of the spec that the fused form reads: not those of a fold whose value is known without them."""
        laws = (part for a in self.accumulators for part in (a.element, a.correction))
        anchors = (part for x in self.anchors for part in (x.expr, x.regular))
        ends = (part for f in self.finish for part in (f.expr, f.guard, f.empty))
        parts = sp.Tuple(*(e.expr for e in self.elements), *laws, *anchors, *ends)
        return tuple(t for t in self.spec.tensors if parts.has(t))

    def anchor(self, symbol: sp.Symbol) -> Anchor:
        """The anchor of a stale or fresh symbol."""
        return next(a for a in self.anchors if symbol in (a.stale, a.fresh))

    def __str__(self) -> str:
        from refold.algebra.display import plan_text

        return plan_text(self)

    def __repr__(self) -> str:
        from refold.algebra.display import plan_brief

        return plan_brief(self)

    def _repr_latex_(self) -> str:
        from refold.algebra.display import plan_latex

        return plan_latex(self)


@dataclass(frozen=True, slots=True)
class Evidence:
    """A sample matrix `g(r_a, c_b)` whose determinant is not zero: fewer accumulators than its size cannot do.

    `columns` are elements of one part, and every row the anchors of that part with `added` put to it (the values
    there of the first tensor; None where nothing is added), so that all entries occur. `constants` is what else the
    body reads. `determinant` is exact; `enclosure` is a rational interval around it that excludes 0.
    """

    rows: tuple[sp.Expr, ...]
    columns: tuple[sp.Expr, ...]
    added: tuple[sp.Expr | None, ...]
    constants: tuple[tuple[sp.Basic, sp.Expr], ...]
    matrix: sp.ImmutableDenseMatrix
    determinant: sp.Expr
    enclosure: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a fold has no finite correction: the reason, the evidence, the class, and what to do instead.

    `meanings` says what each finished value in the body is over folds; `mixed` are the factors of the body that read
    such a value and what varies, and do not separate.
    """

    spec: Spec
    fold: sp.Expr
    body: sp.Expr
    reason: str
    evidence: Evidence | None
    kind: str
    advice: str
    meanings: tuple[tuple[sp.Symbol, sp.Expr], ...] = ()
    mixed: tuple[sp.Expr, ...] = ()

    def __str__(self) -> str:
        from refold.algebra.display import refusal_text

        return refusal_text(self)

    __repr__ = __str__
