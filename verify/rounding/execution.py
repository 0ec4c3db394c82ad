"""Executes the kernels of a plan on a tape: their arguments at given inputs, every program of every stage in turn."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from refold.schedule.launch import launch
from refold.schedule.lower.kernels import Kernels
from refold.schedule.lower.words import descriptor
from refold.spec import Index
from refold.spec.evaluate import Inputs
from refold.spec.heads import is_integral
from refold.verify.rounding import values
from refold.verify.rounding.adjoint import tighten
from refold.verify.rounding.kinds import Arithmetic
from refold.verify.rounding.memory import Memory
from refold.verify.rounding.run import Object, Run
from refold.verify.rounding.tape import Node, Tape
from refold.verify.rounding.tiles import Tile

SHORT = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
# What changes no result: how loads are made and kept, and when kernels begin.
WORDS: dict[str, Object] = {"INDEX": "int32", "DESC": False, "OVERLAP": False, "STAGES": 2, "EVICT": ""}
Settle = Callable[[Tape, Node, int], None]


@dataclass(frozen=True, slots=True)
class Execution:
    """The kernels of a plan at given inputs. All rows are one tile, and tiles have the lengths of the axes within."""

    made: Kernels
    given: Inputs
    arithmetic: Arithmetic

    def run(self, tape: Tape, settle: Settle = tighten) -> tuple[Memory, int]:
        """What memory holds after all stages, and how long the longest inner sum is."""
        data = {f"{t.name}_ptr": self.given.arrays[t].ravel() for t in self.made.given.spec.tensors}
        memory, longest, how = Memory(data), 1, launch(self.made)
        functions = {f.name: f for f in self.made.functions}
        order = {a: n for n, a in enumerate(self.made.given.spec.axes)}

        def begun(names: dict[str, Object]) -> Run:
            return Run(tape, memory, self.made.roles.fold, order, functions, settle, names=names)

        host = begun(self.arguments(tape))
        for name, holds in how.flags:
            host.names[name.text] = bool(values.integer(host, holds))
        for stage in ("rolling",) if self.arithmetic.parts == 1 else ("parts", "finish"):
            kernel, grid = self.made.stages[stage], tuple(values.integer(host, n) for n in how.grid(stage))
            for program in product(*map(range, grid)):
                run = begun({p.text: host.names[p.text] for p in kernel.parameters})
                run.program, run.grid = program, grid
                tape.kind, tape.step = "finish", 0
                run.run(kernel.body)
                longest = max(longest, run.longest)
        return memory, longest

    def length(self, axis: Index) -> int:
        return self.given.sizes[axis]

    @property
    def rows(self) -> int:
        """The rows of a tile: all, or all that share what is packed."""
        roles = self.made.roles
        if roles.rows is None:
            return 1
        return max(self.number(roles.group) if roles.group is not None else self.length(roles.rows), 1)

    @property
    def chunk(self) -> int:
        """The length of a part."""
        tiles = -(-self.length(self.made.roles.fold) // self.arithmetic.block)
        return self.arithmetic.block * max(1, -(-tiles // self.arithmetic.parts))

    def number(self, expr: Any) -> int:
        return round(float(self.given.walk()(expr)))

    def arguments(self, tape: Tape) -> dict[str, Object]:
        """What the launcher passes, by name; a float is rounded once, and is the same wherever it stands."""
        made, spec = self.made, self.made.given.spec
        tape.kind = "finish"
        found: dict[str, Object] = {**WORDS, **self._constants()}
        scalars = made.host | {p: p.name for p in spec.params if p not in made.host}
        for expr, text in scalars.items():
            value = float(self.given.walk()(expr))
            whole = is_integral(expr)
            data: Any = np.asarray(round(value)) if whole else tape.constant(value, exact=False)
            found[text] = Tile("int32" if whole else "fp32", (), data)
        for text, n in self._integers().items():
            found[text] = Tile("int64", (), np.asarray(n))
        operands, result = SHORT[self.arithmetic.operands], SHORT[self.arithmetic.result]
        dtypes = {t.name: "int32" if t.is_integer else operands for t in spec.tensors}
        dtypes |= {o.name: result for o in spec.outputs}
        dtypes |= {f"part_{a.symbol}": "int32" if a.reducer == "argmax" else "fp32" for a in made.plan.accumulators}
        for name, dtype in dtypes.items():
            found[f"{name}_ptr"] = Tile(f"*{dtype}", (), np.asarray(0), f"{name}_ptr")
        # Without DESC nothing is read by these.
        return found | {descriptor(t).text: "" for t in made.descriptors}

    def _constants(self) -> dict[str, Object]:
        operands = self.arithmetic.operands
        found: dict[str, Object] = {"OPERAND": operands, "FAST": operands != "float32", "BLOCK_M": self.rows}
        roles = self.made.roles
        inner = {f"{word}_{a.name}": self.length(a) for word in ("SIZE", "BLOCK") for a in roles.inner}
        # One by one, an element goes through as many additions as it does in pieces of any size.
        pieces = {f"BLOCK_{a.name}": 1 for a in roles.pieces}
        return found | {"BLOCK_N": self.arithmetic.block} | inner | pieces

    def _integers(self) -> dict[str, int]:
        spec, roles = self.made.given.spec, self.made.roles
        found = {f"size_{a.name}": self.length(a) for a in spec.axes}
        batch = math.prod(self.length(a) for a in roles.batch)
        found |= {"size_lead": 1, "size_batch": batch, "side": max(batch, 1)}
        found |= {"parts": self.arithmetic.parts, "chunk": self.chunk}
        if roles.group is not None and roles.rows is not None:
            found |= {"group_size": self.rows, "groups": -(-self.length(roles.rows) // self.rows)}
        named = [(t.name, t.axes) for t in spec.tensors] + [(o.name, o.axes) for o in spec.outputs]
        for name, axes in named:
            found |= {f"{name}_lead0": 0, f"{name}_lead1": 0}
            for n, axis in enumerate(axes):
                found[f"{name}_{axis.name}"] = math.prod(self.length(a) for a in axes[n + 1 :])
        return found
