"""The rounding bounds of a pipeline in both of its forms, by raw moments and by centred ones, on the same data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from refold.algebra import Plan, derive
from refold.errors import EmitError, SpecError, UnsupportedSpec
from refold.schedule.lower.kernels import Kernels, kernels
from refold.verify.rounding.bounds import analyse
from refold.verify.rounding.kinds import Arithmetic

LENGTH, OTHERS = 256, 4  # positions of the fold axis, and of those that are held whole
ABOUT = (0, 100)  # what the data lie about, at a deviation of 1


@dataclass(frozen=True, slots=True)
class Form:
    """One form of a pipeline and the largest float32 bound of its outputs, for data about each number of `ABOUT`."""

    centred: bool
    bounds: tuple[float, ...]


def both_forms(plan: Plan) -> tuple[Form, ...]:
    """The bounds of a plan as written and centred; nothing where it has no centred form, or one of them no bound."""
    spec = plan.spec
    try:
        other = derive(replace(spec, centred=not spec.centred))
        if not isinstance(other, Plan):
            return ()
        made = {p.spec.centred: kernels(p, "kernel") for p in (plan, other)}
        return tuple(Form(centred, tuple(_bound(made[centred], about) for about in ABOUT)) for centred in (False, True))
    except (UnsupportedSpec, EmitError, SpecError):
        return ()


def _bound(made: Kernels, about: int) -> float:
    found = analyse(made, Arithmetic(), _data(made, about))
    return max((float(np.max(m.bound)) for m in found.values()), default=np.nan)


def _data(made: Kernels, about: int) -> dict[str, Any]:
    rng, roles, spec = np.random.default_rng(0), made.roles, made.given.spec
    lengths = {a: LENGTH if a == roles.fold else OTHERS if a in roles.inner else 1 for a in spec.axes}
    inputs: dict[str, Any] = {}
    for t in spec.tensors:
        shape = [lengths[a] for a in t.axes]
        values = about + rng.standard_normal(shape)
        inputs[t.name] = np.full(shape, LENGTH) if t.is_integer else np.abs(values) if t.sign else values
    known = {a for t in spec.tensors for a in t.axes}
    inputs |= {p.name: 1 if p.is_integer else 0.5 for p in spec.params}
    return inputs | {a.name: lengths[a] for a in spec.axes if a not in known}
