"""The derived law of gradients in eager torch, held to differences of the pipeline in float64 by `gradcheck`.

`python gradcheck_cases.py NAME ...` prints, for each example, what is wrong, or nothing, as JSON.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import sys
import traceback
from typing import Any

os.environ.setdefault("TRITON_INTERPRET", "1")
import torch

from refold import Gradient, Plan, Spec, gradient, stages
from refold.algebra.roles import assign
from refold.algebra.stages import Staged
from refold.emit.domain import Draw
from refold.emit.launcher import host_words, reference_text, tables_text
from refold.emit.prooftest import domain_at, integers_of, same_of, scalars_of, sizes_of
from refold.emit.runtime import refold_runtime as rt
from refold.emit.signature import called, signature, words_of
from refold.schedule.launch import sized_by
from refold.schedule.lower.renaming import renamed_spec

# For the sizes of emitted tests, ones at which differences by every element take no time.
SMALL = {37: 4, 33: 3, 5: 2, 7: 3}


class Eager:
    """The eager form of a pipeline, as a kernel file has it."""

    def __init__(self, spec: Spec) -> None:
        own, users = renamed_spec(spec)
        text = reference_text(own, users)
        words = {name: getattr(rt, word) for name, word in host_words(text).items()}
        found: dict[str, Any] = {"rt": rt, "math": math, "torch": torch, **words}
        exec("\n".join([*tables_text("eager", own, users), text]), found)
        self.function = found["reference"]
        self.reads, self.outputs = signature(spec), [o.name for o in spec.outputs]
        theirs = {old: new for new, old in users.items()}
        self.words = dict(zip(called([theirs.get(w, w) for w in words_of(own)], users), words_of(spec), strict=True))

    def __call__(self, known: dict[str, Any]) -> dict[str, Any]:
        named = {theirs: known[ours] for theirs, ours in self.words.items()}
        found = self.function(*(known[n] for n in self.reads), **named)
        return found if isinstance(found, dict) else dict(zip(self.outputs, [found], strict=True))


def function(found: Gradient, known: dict[str, Any]) -> Any:
    """The pipeline as a function of the inputs that it has a gradient by, which is that of the derived law."""
    whole = Eager(found.spec)
    law = [Eager(spec) for spec in (found.forward, *found.before, *found.pipelines)]

    class ByLaw(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            ctx.save_for_backward(*inputs)
            values = whole(known | dict(zip(found.wrt, inputs, strict=True)))
            return tuple(values[name] for name, _ in found.given)

        @staticmethod
        def backward(ctx: Any, *cotangents: Any) -> Any:
            values = known | dict(zip(found.wrt, ctx.saved_tensors, strict=True))
            values |= {name: c for (_, name), c in zip(found.given, cotangents, strict=True)}
            for step in law:
                values |= step(values)
            return tuple(values[f"d{n}"] for n in found.wrt)

    return ByLaw.apply


def drawn(spec: Spec) -> dict[str, Any]:
    """Inputs at which the pipeline has values, no two of them equal."""
    plan = stages(spec)
    plans = plan.plans if isinstance(plan, Staged) else (plan,)
    assert isinstance(plans[-1], Plan)
    roles = assign(plans[-1])
    sizes = {axis: SMALL.get(n, n) for axis, n in sizes_of(spec, roles).items()}
    sizes |= {axis: sizes[other] for axis, other in same_of(spec, roles).items()}
    scalars, integers = scalars_of(spec), integers_of(spec, roles.fold)
    positive = domain_at(spec, roles, sizes).positive
    inputs = Draw(spec, sizes, scalars, integers, positive).inputs()
    g = torch.Generator().manual_seed(0)
    for t in spec.tensors:
        x = torch.as_tensor(inputs[t.name])
        inputs[t.name] = x if t.is_integer else x * (1 + 0.05 * torch.randn(x.shape, generator=g, dtype=x.dtype))
    lengths = {a.name: sizes[a.name] for a in sized_by(spec)[2]}
    return sizes | inputs | scalars | lengths


def check(name: str) -> None:
    spec: Spec = importlib.import_module(f"refold.examples.{name}").SPEC
    found, known = gradient(spec), drawn(spec)
    known |= {str(length.name): known[axis.name] for length, axis in found.lengths}
    inputs = [known[n].clone().requires_grad_() for n in found.wrt]
    torch.autograd.gradcheck(function(found, known), inputs)


def main() -> None:
    found = {}
    for name in sys.argv[1:]:
        try:
            check(name)
            found[name] = ""
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
            if os.environ.get("TRACE"):
                traceback.print_exc()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
