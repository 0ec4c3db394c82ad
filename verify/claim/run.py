"""Runs a claimed form in float64 NumPy, in any order and any split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy as sp

from refold.algebra.monoid import Monoid
from refold.algebra.run import Order, Runner, Values
from refold.spec.evaluate import Inputs, evaluate_where_defined
from refold.spec.walk import Array
from refold.verify.claim.claim import Claim
from refold.verify.claim.form import form_of
from refold.verify.refute.precise import precise, precise_outputs
from refold.verify.refute.replay import Subject, differs
from refold.verify.refute.schedule import final


def run_claim(form: Monoid, inputs: Mapping[str, Any], order: Order) -> dict[str, Array]:
    """The outputs of a claimed form for one order, as `refold.algebra.run.run` has it."""
    with np.errstate(all="ignore"):
        return _outputs(form, Inputs.of(form.spec, inputs), order)


def subject_of(claim: Claim) -> Subject:
    """A claimed form beside its spec, to be run."""
    form = form_of(claim)
    return Subject(
        claim.spec,
        form.axis,
        lambda inputs, order: run_claim(form, inputs, order),
        lambda inputs, order: _is_wrong(form, inputs, order),
    )


def _is_wrong(form: Monoid, inputs: Mapping[str, Any], order: Order) -> bool:
    """Whether a claimed form is wrong apart from rounding: it is off in many digits, too, or overflows.

    The numbers of a form that overflows where its spec does not are beyond those of floats, which is a mistake as well.
    """
    got, wanted = run_claim(form, inputs, order), evaluate_where_defined(form.spec, inputs)
    if any(np.any(np.isfinite(wanted[name]) & ~np.isfinite(value)) for name, value in got.items()):
        return True
    given = precise(Inputs.of(form.spec, inputs))
    return differs(precise_outputs(given), _outputs(form, given, order))


def _outputs(form: Monoid, given: Inputs, order: Order) -> dict[str, Array]:
    runner = ClaimRunner(form, given)
    return runner.finish(final(runner, order))


class ClaimRunner(Runner):
    """One run of a claimed form, which need not say itself what the spec states of an axis of no position."""

    def finish(self, state: Values) -> dict[str, Array]:
        """The outputs; of an axis of no position, the spec's `empty` where they are undefined."""
        results, empty = super().finish(state), self.form.spec.empty
        if empty is sp.nan or self.given.sizes[self.form.axis]:
            return results
        return {n: np.where(np.isnan(v), float(empty), v) for n, v in results.items()}
