"""Bundles with gradients, and a program that calls them in every way in which torch may.

`python autograd_cases.py NAME` prints, for each way, how far the kernels are from the eager form in float64, or what
went wrong, as JSON. A process of its own, since TRITON_INTERPRET decides when triton is first imported.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from refold import Plan, Spec, gradient, stages
from refold.algebra.stages import Staged
from refold.emit import TrainableKernel
from refold.emit.trainable import emit_trainable
from refold.verify import Proof, Result
from refold.verify.differentiated import Differentiated, Part
from refold.verify.staged import Composed

if __name__ == "__main__":
    os.environ["TRITON_INTERPRET"] = "1"
import torch

RESULT = Result("stand-in", "", "proved", 0.0, "")
SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "attention": {"q": (2, 5, 4), "k": (2, 7, 4), "v": (2, 7, 3)},
    "rms_norm": {"x": (2, 5, 7), "weight": (7,)},
    "softmax": {"x": (2, 5, 7)},
}
WORDS: dict[str, dict[str, float]] = {"rms_norm": {"eps": 1e-3}}


def example(name: str) -> Spec:
    spec: Spec = importlib.import_module(f"refold.examples.{name}").SPEC
    return spec


def trainable(spec: Spec, name: str, wrt: Sequence[str] | None = None) -> TrainableKernel:
    """The bundle with stand-ins for the proofs: what is emitted does not depend on them."""
    found = gradient(spec, wrt)

    def stood_in(spec: Spec) -> Any:
        plan = stages(spec)
        if isinstance(plan, Staged):
            return Composed(plan, tuple(Proof(p, (RESULT,), ()) for p in plan.plans), (RESULT,))
        assert isinstance(plan, Plan), plan
        return Proof(plan, (RESULT,), ())

    parts = [Part(s, None, stood_in(s)) for s in (found.forward, *found.before, *found.pipelines)]
    return emit_trainable(Differentiated(found, (RESULT,), tuple(parts), ()), name, stood_in(spec))


def loaded(kernel: TrainableKernel, folder: Path) -> ModuleType:
    for file, text in kernel.code.items():
        (folder / file).write_text(text)
    found = importlib.util.spec_from_file_location(kernel.name, folder / f"{kernel.name}.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[kernel.name] = module  # where torch.compile looks for it
    found.loader.exec_module(module)
    return module


class Calls:
    """The ways to call a function that autograd goes through, each beside the same of its eager form."""

    def __init__(self, module: ModuleType, name: str) -> None:
        torch.manual_seed(0)
        self.module, self.words = module, WORDS.get(name, {})
        self.kernel = lambda *a: getattr(module, name)(*a, **self.words)
        self.eager = lambda *a: module.reference(*a, **self.words)
        self.inputs = [torch.randn(shape) for shape in SHAPES[name].values()]
        self.cotangent = torch.randn(self.eager(*self.inputs).shape[::-1]).permute(2, 1, 0)

    def both(self, way: Callable[..., Any], *, kernel: Any = None) -> float:
        """The largest difference of what a way of calling gives of the two, relative to the largest value."""
        got = _flat(way(kernel or self.kernel, self.inputs, self.cotangent))
        wanted = _flat(way(self.eager, [x.double() for x in self.inputs], self.cotangent.double()))
        pairs = zip(got, wanted, strict=True)
        return max(float((g.double() - w).abs().max() / (1 + w.abs().max())) for g, w in pairs)

    def gradients(self) -> float:
        return self.both(vjp)

    def each_by_itself(self) -> float:
        """Only what the gradient by one input takes has run."""
        worst, law = 0.0, self.module._FUNCTION.law
        for k, name in enumerate(law.wrt):
            seen: list[str] = []
            watched = Watch(seen)
            with watched:
                worst = max(worst, self.both(lambda f, xs, c, k=k: vjp(f, xs, c, (k,))))
            assert sorted(seen) == sorted(p.name for p in law.needed([name])), (name, seen)
        return worst

    def second_derivatives(self) -> float:
        def way(f: Any, inputs: Any, cotangent: Any) -> Any:
            leaves, c = [x.clone().requires_grad_() for x in inputs], cotangent.clone().requires_grad_()
            first = torch.autograd.grad(f(*leaves), leaves, c, create_graph=True)
            return torch.autograd.grad(sum((g * g.sin()).sum() for g in first), [*leaves, c])

        return self.both(way)

    def a_leading_dimension_less(self) -> float:
        first, *others = self.inputs
        self.inputs = [first, *(x[0] if x.dim() == 3 else x for x in others)]
        return self.both(vjp)

    def functorch_grad(self) -> float:
        return self.both(lambda f, xs, c: torch.func.grad(scalar(f, c), tuple(range(len(xs))))(*xs))

    def functorch_vmap(self) -> float:
        return self.both(lambda f, xs, c: torch.vmap(f, in_dims=dims(xs))(*xs))

    def vmap_of_grad(self) -> float:
        places = tuple(range(len(self.inputs)))
        return self.both(lambda f, xs, c: torch.vmap(torch.func.grad(scalar(f, c[0]), places), in_dims=dims(xs))(*xs))

    def grad_of_vmap(self) -> float:
        places = tuple(range(len(self.inputs)))
        return self.both(lambda f, xs, c: torch.func.grad(scalar(torch.vmap(f, in_dims=dims(xs)), c), places)(*xs))

    def jacobian(self) -> float:
        return self.both(lambda f, xs, c: torch.func.jacrev(f)(*xs))

    def hessian(self) -> float:
        return self.both(lambda f, xs, c: torch.func.jacrev(torch.func.grad(scalar(f, c)))(*xs))

    def checkpoint(self) -> float:
        from torch.utils.checkpoint import checkpoint

        return self.both(vjp, kernel=lambda *a: checkpoint(self.kernel, *a, use_reentrant=False))

    def compile(self) -> float:
        return self.both(vjp, kernel=torch.compile(self.kernel, fullgraph=True, backend="aot_eager"))

    def export(self) -> float:
        """A saved program runs the operator, of inputs that require gradients too."""
        function = self.kernel

        class Program(torch.nn.Module):
            def __init__(self, weight: Any) -> None:
                super().__init__()
                self.weight = torch.nn.Parameter(weight)

            def forward(self, *others: Any) -> Any:
                return function(self.weight, *others)

        first, *others = self.inputs
        program = torch.export.export(Program(first), tuple(others))
        assert any("refold" in str(node.target) for node in program.graph.nodes)
        return self.both(lambda f, xs, c: f(*xs), kernel=lambda first, *others: program.module()(*others))

    def opcheck(self) -> float:
        """Every operator, as torch itself tries it."""
        function, options = self.module._FUNCTION, ("auto", *[None] * 5)
        known = dict(zip(self.module.TABLES.inputs, self.inputs, strict=True)) | self.words
        known |= function.lengths(known) | {function.law.given[n]: self.cotangent for n in self.module.TABLES.outputs}
        for piece in (function.forward, *function.law.pieces):
            tensors, words = function.arguments(piece, known)
            leaves = [t.detach().clone().requires_grad_() for t in tensors]
            torch.library.opcheck(function.operators[piece.name].plain, (*leaves, *words, *options))
            known |= dict(zip(piece.writes, function.call(piece, known, options), strict=True))
        return 0.0

    def autocast(self) -> float:
        """In the dtype of autocast where tiles are multiplied, else in that of the inputs; gradients in the latter."""
        kind = torch.bfloat16 if self.module.TABLES.dots else torch.float32
        leaves = [x.clone().requires_grad_() for x in self.inputs]
        with torch.autocast("cpu", torch.bfloat16):
            found = self.kernel(*leaves)
        assert found.dtype == kind
        got = torch.autograd.grad(found, leaves, self.cotangent.to(kind))
        assert {g.dtype for g in got} == {torch.float32}
        wanted = vjp(self.kernel, [x.to(kind) for x in self.inputs], self.cotangent.to(kind))
        assert all(torch.equal(g, w.float()) for g, w in zip(got, wanted, strict=True))
        return 0.0

    def refusals(self) -> float:
        """No gradient goes into `out`."""
        leaves = [x.clone().requires_grad_() for x in self.inputs]
        try:
            getattr(self.module, self.module.TABLES.name)(*leaves, **self.words, out=torch.empty(()))
        except ValueError as error:
            assert "out has no gradient: leave it out, or call it under torch.no_grad()" in str(error)
            return 0.0
        raise AssertionError("out was taken")


WAYS = [name for name in vars(Calls) if not name.startswith("_") and name != "both"]


class Watch(torch.utils._python_dispatch.TorchDispatchMode):
    """Notes the pieces that run in the backward pass, by their operators."""

    def __init__(self, seen: list[str]) -> None:
        super().__init__()
        self.seen = seen

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().partition("::")[2].rpartition("_")[0]
        if func.namespace == "refold" and not name.endswith("_forward"):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


def vjp(f: Any, inputs: Any, cotangent: Any, places: Any = None) -> Any:
    places = range(len(inputs)) if places is None else places
    leaves = [x.clone().requires_grad_() if k in places else x for k, x in enumerate(inputs)]
    return torch.autograd.grad(f(*leaves), [leaves[k] for k in places], cotangent)


def scalar(f: Any, cotangent: Any) -> Any:
    return lambda *a: (f(*a) * cotangent).sum()


def dims(inputs: Any) -> tuple[int | None, ...]:
    return tuple(0 if x.dim() == 3 else None for x in inputs)


def _flat(found: Any) -> list[Any]:
    return [found] if isinstance(found, torch.Tensor) else list(found)


def main() -> None:
    (name,) = sys.argv[1:]
    found: dict[str, float | str] = {}
    with tempfile.TemporaryDirectory() as folder:
        module = loaded(trainable(example(name), name), Path(folder))
        for way in WAYS:
            try:
                found[way] = getattr(Calls(module, name), way)()
            except Exception:
                found[way] = traceback.format_exc(limit=-3)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
