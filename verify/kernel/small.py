"""Executes the kernels of a plan at small tiles: one row, two positions, two lanes of every axis that is held whole.

An axis that is folded by pieces has two pieces of one lane.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from refold.schedule import ir
from refold.schedule.execute import Machine, Object
from refold.schedule.execute import argument as argument_of
from refold.schedule.helpers import HELPERS
from refold.schedule.lower.kernels import Kernels
from refold.schedule.lower.words import descriptor
from refold.schedule.outcome import Outcome
from refold.schedule.terms import Term
from refold.schedule.tiles import Tile

LANES = 2
_X, _FAST = ir.Name("x"), ir.Name("FAST", kind="constant")


def _meant(name: str, *flags: ir.Name) -> ir.Function:
    """A helper as the function of mathematics that it stands for; its error is a matter of rounding."""
    value = ir.Extern(name.strip("_"), (_X,), "float32")
    return ir.Function(name, (_X, *flags), (ir.Return((value,)),))


_N = ir.Name("n")
_POWER = ir.Function("_power", (_X, _N), (ir.Return((ir.Extern("power", (_X, _N), "float32"),)),))
MEANT: Mapping[str, ir.Function] = HELPERS | {
    f.name: f for f in (_meant("_exp"), _meant("_tanh", _FAST), _meant("_sigmoid"), _meant("_round"), _POWER)
}
_KNOWN = {"INDEX": "tl.int32", "OPERAND": "tl.float32", "DESC": False, "FAST": False, "OVERLAP": False, "STAGES": 2,
          "ONE_TILE": False, "RAGGED": True, "ALIGNED": False, "EVICT": "", "BLOCK_M": 1, "BLOCK_N": LANES}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Small:
    """What one kernel does, and what its names stand for at the end."""

    outcome: Outcome
    names: Mapping[str, Object]

    def lanes(self, name: str) -> list[Term]:
        """The terms of a name."""
        value = self.names[name]
        assert isinstance(value, Tile), f"{name} is {value}"
        return list(value.lanes.ravel().tolist())


def executed(made: Kernels, kernel: ir.Function) -> Small:
    """A kernel of a plan on terms. Raises `NoMeaning` where it does something of which no meaning is known."""
    types, constants = arguments(made, kernel)
    machine = Machine({f.name: f for f in made.functions}, helpers=MEANT)
    machine.names = {p.text: argument_of(p.text, types, constants) for p in kernel.parameters}
    machine.run(kernel.body)
    return Small(Outcome(tuple(machine.events)), machine.names)


def arguments(made: Kernels, kernel: ir.Function) -> tuple[dict[str, str], dict[str, Any]]:
    """The types of the arguments of a kernel and its constants: floats are those of the accumulators."""
    spec = made.plan.spec
    types = {f"{t.name}_ptr": "*i32" if t.is_integer else "*fp32" for t in spec.tensors}
    types |= {f"{o.name}_ptr": "*fp32" for o in spec.outputs}
    types |= {descriptor(t).text: "tensordesc<fp32[]>" for t in made.descriptors}
    types |= {
        made.workspace[str(a.symbol)]: "*i32" if a.reducer == "argmax" else "*fp32" for a in made.plan.accumulators
    }
    real = {text for expr, text in made.host.items() if not expr.is_integer}
    constants: dict[str, Any] = {}
    known = _KNOWN | {f"BLOCK_{a.name}": 1 for a in made.roles.pieces}
    for parameter in kernel.parameters:
        name = parameter.text
        if parameter.kind == "constant":
            constants[name] = known.get(name, LANES)
        elif name not in types:
            types[name] = "fp32" if name in real else "i32"
    return types, constants
