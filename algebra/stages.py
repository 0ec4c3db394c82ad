"""Cuts a pipeline that no single pass computes into pipelines of one pass each, which hand on tensors.

A fold whose law does not separate, or folds over several axes that wait for each other, need what comes before them
*finished*. What is finished is a value over rows alone, so that it is small: the first pass writes it, the second reads
it like any other tensor. Each piece is a pipeline of its own, derived, proved and emitted like one that a user wrote.

    o = sum_j log(x[i,j] + max_j x[i,j])    ->      m[i] = max_j x[i,j];    o = sum_j log(x[i,j] + m[i])
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import sympy as sp

from refold.algebra.cuts import dtype_of
from refold.algebra.derive import derive, plan_of
from refold.algebra.flatten import Flat
from refold.algebra.plan import Plan, Refusal
from refold.algebra.reassociate import Reassociated, reassociations
from refold.algebra.refuse import Refused
from refold.algebra.search import Search
from refold.algebra.worth import long_axes
from refold.errors import UnsupportedSpec, within_depth
from refold.spec import Index, Output, Param, Spec

# A form is to cost less than this part of what the pipeline costs as written.
GAIN = 0.95


@dataclass(frozen=True, slots=True, repr=False)
class Staged:
    """A pipeline as several of one pass each: a later one reads, as tensors, outputs of earlier ones.

    Put in the place of these reads, the outputs of the stages are those of `spec`, expression for expression, after
    the laws of `form` were used and each of `flats` was put in the place of two axes. `lengths` are those of axes that
    a stage has no tensor over: it takes them as scalars.
    """

    spec: Spec
    plans: tuple[Plan, ...]
    flats: tuple[Flat, ...] = ()
    form: Reassociated | None = None
    lengths: tuple[tuple[Param, Index], ...] = ()

    @property
    def formed(self) -> Spec:
        """The pipeline after laws were used, which is what is cut."""
        return self.spec if self.form is None else self.form.after

    @property
    def why(self) -> str:
        """Why no single pass computes the pipeline; nothing where one does, after two axes became one or in a form."""
        if self.form is not None:
            return ""
        try:
            plan_of(self.flats[-1].after if self.flats else self.spec)
        except UnsupportedSpec as error:
            return str(error)
        except Refused as refused:
            return refused.reason
        return ""

    def __str__(self) -> str:
        from refold.algebra.display import stage_sections
        from refold.algebra.sections import sections_text

        return sections_text(stage_sections(self))

    def __repr__(self) -> str:
        axes = ", ".join(plan.axis.name for plan in self.plans)
        return f"{len(self.plans)} stages over {axes}; print() shows them"

    @property
    def passed(self) -> tuple[Output, ...]:
        """What one stage writes for a later one."""
        wanted = {t.name for p in self.plans for t in p.spec.tensors}
        return tuple(o for p in self.plans for o in p.spec.outputs if o.name in wanted)

    @property
    def how(self) -> str:
        """As what it is written."""
        whole = any(dtype_of(o) == "int64" for o in self.passed)
        return "in float32, positions as integers" if whole else "in float32"


def _advised(spec: Spec, outcome: Plan | Refusal) -> Plan | Refusal:
    """What one pass gives; a refusal says so where it is `empty` alone that stands against stages."""
    if isinstance(outcome, Plan) or spec.empty is sp.nan or not isinstance(stages(replace(spec, empty=sp.nan)), Staged):
        return outcome
    said = f"write it without empty={spec.empty}: stages compute it then, but say no value over nothing"
    return replace(outcome, advice=said)


@within_depth()
def stages(spec: Spec) -> Plan | Staged | Refusal:
    """The plan of a pipeline; else those of its stages, as few as are found; else why it is refused.

    Of a form that laws make of the pipeline where it costs less. Raises `UnsupportedSpec` as `derive` does, where no
    cut helps.
    """
    search = Search(long_axes(spec))
    written = search.whole(spec) or search.pieces(spec)
    found, form, before = written, None, None if written is None else written.cost
    for other in () if spec.as_written else reassociations(spec):
        pieces = search.pieces(other.after)
        least = search.worth(None if found is None else found.cost)
        if pieces is not None and search.worth(pieces.cost) < GAIN * least:
            found, form = pieces, replace(other, saved=(before, pieces.cost))
    if found is None:
        return _advised(spec, derive(spec))
    if form is None and not found.flats and len(found.plans) == 1:
        return found.plans[0]
    taken = {param for plan in found.plans for param in plan.spec.params}
    lengths = tuple((length, axis) for length, axis in search.lengths.items() if length in taken)
    return Staged(spec, found.plans, found.flats, form, lengths)
