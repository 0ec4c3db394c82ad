"""Runs a program in float64 NumPy, stage by stage, with any partition of an axis that is split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from refold.algebra.plan import Finish
from refold.algebra.program import Program, Stage
from refold.algebra.run import Runner, Values
from refold.spec import Index
from refold.spec.evaluate import Inputs
from refold.spec.walk import Array

Partition = Sequence[Sequence[int]]


def perform(program: Program, inputs: Mapping[str, Any], partition: Partition = ()) -> dict[str, Array]:
    """Every output as a float64 array; part `p` of a split axis has the positions `partition[p]`, in their order."""
    known = dict(inputs)
    with np.errstate(all="ignore"):
        for stage in program.stages:
            known |= _written(stage, known, partition)
    return {o.name: known[o.name] for o in program.spec.outputs}


def _written(stage: Stage, known: Mapping[str, Any], partition: Partition) -> dict[str, Array]:
    """What a stage writes, of tensors that are known."""
    form = stage.carried
    assert form is not None, f"the stage {stage.name} carries nothing"
    wanted = {str(x.name) for group in (form.spec.tensors, form.spec.params, form.spec.axes) for x in group}
    runner = Runner(form, Inputs.of(form.spec, {n: v for n, v in known.items() if n in wanted}))
    parts = [a for a in stage.grid if a not in form.spec.axes]
    if not parts:
        state = _state(runner, range(runner.given.sizes[form.axis]))
        return {w.name: _value(runner, w.finish, state) for w in stage.writes}
    (part,) = parts
    states = [_state(runner, positions) for positions in partition]
    return {w.name: np.stack([_value(runner, w.finish, s, part) for s in states]) for w in stage.writes}


def _state(runner: Runner, positions: Sequence[int]) -> Values:
    """The state that a loop over the positions leaves."""
    state = runner.start()
    for position in positions:
        state = runner.step(state, position)
    return state


def _value(runner: Runner, finish: Finish, state: Values, part: Index | None = None) -> Array:
    """What is written of a state; the axis of parts comes first, and its positions are stacked later."""
    return runner.given.present(runner.value(finish, state), tuple(a for a in finish.axes if a != part))
