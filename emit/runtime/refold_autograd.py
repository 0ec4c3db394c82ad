"""What kernel files with gradients share: operators of torch that autograd goes through. Needs torch alone.

A bundle is pieces: the forward pass with what it keeps, rows that come before the loops, and the gradients. Each is an
operator. The gradient of the forward pass is that the other pieces run. The gradient of what it keeps, and of any other
piece, is that of the eager form, so that second derivatives are those of the derived law.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import torch

# How a call is laid out, by name.
OPTIONS = ("schedule", "splits", "block_m", "block_n", "num_warps", "num_stages")
LAST = len(OPTIONS)


@dataclass(frozen=True, slots=True)
class Piece:
    """A kernel file beside this one: what its function reads by position and by name, and what it writes."""

    file: ModuleType
    name: str
    reads: tuple[str, ...]
    words: dict[str, str]
    writes: tuple[str, ...]

    def run(self, tensors: Iterable[Any], words: Sequence[Any], out: Any, options: Sequence[Any]) -> tuple[Any, ...]:
        """The results of the kernels, in order."""
        named = dict(zip(self.words, words, strict=True)) | dict(zip(OPTIONS, options, strict=True))
        return several(getattr(self.file, self.name)(*tensors, **named, out=out))

    def eager(self, tensors: Iterable[Any], words: Sequence[Any]) -> tuple[Any, ...]:
        """The same in eager torch, in the widest dtype of what is given."""
        given = list(tensors)
        kinds = [t.dtype for t in given if t.is_floating_point()]
        kind = (
            torch.float32 if len({*kinds}) > 1 and torch.float64 not in kinds else max(kinds, key=lambda k: k.itemsize)
        )
        wide = [t.to(kind) if t.is_floating_point() else t for t in given]
        return several(self.file.reference(*wide, **dict(zip(self.words, words, strict=True))))


# What becomes of a result, by name, before others read it.
Hand = Callable[[str, Any], Any]
# How the results of a piece are computed, of what is known by name.
Run = Callable[[Piece, dict[str, Any]], Sequence[Any]]


def several(result: Any) -> tuple[Any, ...]:
    """The results of a call, whether one or several."""
    return tuple(result.values()) if isinstance(result, dict) else result if isinstance(result, tuple) else (result,)


@dataclass(frozen=True, slots=True)
class Law:
    """What the gradients of a function are.

    `pieces` run one after the other; `wrt` says for each input that has a gradient which result that is, or "" where
    it is 0; `given` is the name of the cotangent of each output; `lengths` are those of axes that pieces take by name.
    """

    pieces: tuple[Piece, ...]
    wrt: dict[str, str]
    given: dict[str, str]
    lengths: dict[str, str]

    def needed(self, names: Iterable[str]) -> tuple[Piece, ...]:
        """The pieces that the gradients by some inputs take."""
        wanted, found = {self.wrt[n] for n in names}, []
        for piece in reversed(self.pieces):
            if wanted & {*piece.writes}:
                wanted |= {*piece.reads}
                found.append(piece)
        return tuple(reversed(found))

    def gradients(self, known: dict[str, Any], like: dict[str, Any], run: Run) -> dict[str, Any]:
        """The gradients by the inputs that `like` gives the shape, dtype and device of, of what is known."""
        for piece in self.needed(like):
            known = known | dict(zip(piece.writes, run(piece, known), strict=True))
        found = {}
        for n, (shape, kind, device) in like.items():
            of = self.wrt[n]
            found[n] = known[of].sum_to_size(shape).to(kind) if of else torch.zeros(shape, dtype=kind, device=device)
        return found


class Function:
    """A function whose gradients are kernels: of a call that autograd may ask for them, the outputs of an operator.

    `plain` computes the outputs, and `forward` also what is kept for the gradients.
    """

    def __init__(self, rt: Any, tables: Any, file: str, plain: Piece, forward: Piece, law: Law) -> None:
        self.rt, self.tables, self.plain, self.forward, self.law = rt, tables, plain, forward, law
        self.rules = {p.name: Recompute(p) for p in law.pieces} | {forward.name: Backward(self)}
        self.operators = {p.name: operator(rt, file, p, self.rules[p.name]) for p in (forward, *law.pieces)}

    def __call__(self, tensors: Sequence[Any], words: Sequence[Any], out: Any, options: Sequence[Any]) -> Any:
        known = dict(zip(self.tables.inputs, self.alike(tensors), strict=True))
        known |= dict(zip(self.tables.words, words, strict=True))
        if not (_recorded(tensors) or _transformed()):
            found = self.plain.run(*self.arguments(self.plain, known), out, options)
        elif out is not None:
            raise ValueError(f"{self.tables.name}: out has no gradient: leave it out, or call it under torch.no_grad()")
        else:
            found = self.call(self.forward, known, options)
        return self.rt.result(dict(zip(self.tables.outputs, found, strict=False)))

    def derived(
        self, tensors: Sequence[Any], words: Sequence[Any], cotangents: dict[str, Any], hand: Hand = lambda n, x: x
    ) -> dict[str, Any]:
        """The gradients in eager torch by the law that kernels follow; `hand` takes what a piece hands to others."""
        known = dict(zip(self.tables.inputs, tensors, strict=True)) | dict(zip(self.tables.words, words, strict=True))

        def run(piece: Piece, known: dict[str, Any]) -> list[Any]:
            results = piece.eager(*self.arguments(piece, known))
            return [hand(n, x) for n, x in zip(piece.writes, results, strict=True)]

        like = {n: (known[n].shape, known[n].dtype, known[n].device) for n in self.law.wrt}
        known |= self.lengths(known) | dict(zip(self.forward.writes, run(self.forward, known), strict=True))
        return self.law.gradients(known | {self.law.given[n]: c for n, c in cotangents.items()}, like, run)

    def lengths(self, known: dict[str, Any]) -> dict[str, Any]:
        """The lengths of the axes, by the names that pieces take."""
        sizes = self.rt.sizes(self.tables, {n: known[n] for n in self.tables.inputs}, check=False)
        sizes |= {n: known[n] for n, kind in self.tables.words.items() if kind == "SymInt"}
        return sizes | {n: sizes[axis] for n, axis in self.law.lengths.items()}

    def arguments(self, piece: Piece, known: dict[str, Any]) -> tuple[list[Any], list[Any]]:
        """What a piece takes by position and by name."""
        return [known[n] for n in piece.reads], [known[n] for n in piece.words.values()]

    def call(self, piece: Piece, known: dict[str, Any], options: Sequence[Any]) -> tuple[Any, ...]:
        """The results of the operator of a piece."""
        tensors, words = self.arguments(piece, known)
        return self.operators[piece.name](*tensors, *words, *options)

    def alike(self, tensors: Sequence[Any]) -> Sequence[Any]:
        """Under autocast, floats of one dtype: that of autocast for products, as torch has it, else the widest."""
        device = tensors[0].device.type
        if not torch.is_autocast_enabled(device):
            return tensors
        floats = [kind == "float" for kind in self.tables.dtypes.values()]
        kinds = {t.dtype for t, is_float in zip(tensors, floats, strict=True) if is_float}
        kind = (
            torch.get_autocast_dtype(device) if self.tables.dots else kinds.pop() if len(kinds) == 1 else torch.float32
        )
        return [t.to(kind) if is_float else t for t, is_float in zip(tensors, floats, strict=True)]


def _recorded(tensors: Sequence[Any]) -> bool:
    """Whether autograd writes down what is computed of tensors."""
    return torch.is_grad_enabled() and any(isinstance(t, torch.Tensor) and t.requires_grad for t in tensors)


def _transformed() -> bool:
    """Whether functions are being transformed, so that a tensor may stand for many, or be differentiated by."""
    return not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active()


class Backward:
    """The gradient of the forward pass: by kernels that of its outputs, by the eager form that of what it keeps."""

    def __init__(self, function: Function) -> None:
        self.function, self.forward, self.law = function, function.forward, function.law
        self.outputs = tuple(function.tables.outputs)

    def setup(self, ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Keeps what the pieces read that will run."""
        count, many = len(self.forward.reads), several(output)
        known = dict(zip(self.forward.reads, inputs, strict=False)) | dict(zip(self.forward.writes, many, strict=True))
        wanted = self.wanted(ctx)
        reads = {n for piece in self.law.needed(wanted) for n in piece.reads}
        if reads & {*self.forward.writes[len(self.outputs) :]}:
            reads |= {*self.forward.reads}  # of what is kept, the gradient is computed from the inputs
        ctx.names = [n for n in known if n in reads]
        ctx.save_for_backward(*(known[n] for n in ctx.names))
        ctx.words, ctx.options = inputs[count:-LAST], inputs[-LAST:]
        words = dict(zip(self.forward.words.values(), ctx.words, strict=True))
        ctx.lengths = words | self.function.lengths(known | words)
        ctx.like = {n: (t.shape, t.dtype, t.device) for n, t in known.items()}
        ctx.set_materialize_grads(False)

    def wanted(self, ctx: Any) -> list[str]:
        """The inputs that a gradient is asked by."""
        names = [n for n, needed in zip(self.forward.reads, ctx.needs_input_grad, strict=False) if needed]
        for n in names:
            if n not in self.law.wrt:
                raise ValueError(
                    f"{self.function.tables.name}: {n} requires a gradient, and there are kernels for that by "
                    f"{', '.join(self.law.wrt)}: emit it with {n} among wrt, or give {n}.detach()"
                )
        return names

    def backward(self, ctx: Any, *cotangents: Any) -> tuple[Any, ...]:
        """The gradients by the inputs that require one, and None for the others, and for words and options."""
        found: dict[str, Any] = {}
        wanted, count = self.wanted(ctx), len(self.outputs)
        if any(c is not None for c in cotangents[:count]):
            found = self.by_kernels(ctx, wanted, dict(zip(self.outputs, cotangents, strict=False)))
        if any(c is not None for c in cotangents[count:]):
            known = dict(zip(ctx.names, ctx.saved_tensors, strict=True))
            tensors = [known[n] for n in self.forward.reads]
            needed = [n in wanted for n in self.forward.reads]
            kept = (*[None] * count, *cotangents[count:])
            more = by_eager_form(self.forward, tensors, ctx.words, needed, kept)
            for n, value in zip(self.forward.reads, more, strict=True):
                if value is not None:
                    found[n] = found[n] + value if n in found else value
        rest = len(ctx.words) + LAST
        return (*(found.get(n) for n in self.forward.reads), *[None] * rest)

    def by_kernels(self, ctx: Any, wanted: list[str], cotangents: dict[str, Any]) -> dict[str, Any]:
        """The gradients of the outputs, each of the shape and the dtype of its input."""
        known = ctx.lengths | dict(zip(ctx.names, ctx.saved_tensors, strict=True))
        for output, name in self.law.given.items():
            shape, kind, device = ctx.like[output]
            value = cotangents[output]
            known[name] = torch.zeros(shape, dtype=kind, device=device) if value is None else value
        call = partial(self.function.call, options=ctx.options)
        return self.law.gradients(known, {n: ctx.like[n] for n in wanted}, call)


class Recompute:
    """The gradient of a piece that has no kernels for it: that of its eager form."""

    def __init__(self, piece: Piece) -> None:
        self.piece = piece

    def setup(self, ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        count = len(self.piece.reads)
        ctx.save_for_backward(*inputs[:count])
        ctx.words = inputs[count:-LAST]
        ctx.set_materialize_grads(False)

    def backward(self, ctx: Any, *cotangents: Any) -> tuple[Any, ...]:
        tensors = ctx.saved_tensors
        found = by_eager_form(self.piece, tensors, ctx.words, ctx.needs_input_grad[: len(tensors)], cotangents)
        return (*found, *[None] * (len(ctx.words) + LAST))


def by_eager_form(
    piece: Piece, tensors: Sequence[Any], words: Sequence[Any], needed: Sequence[bool], cotangents: Sequence[Any]
) -> list[Any]:
    """The gradients of the eager form of a piece, by the tensors that need one, of the cotangents that there are."""
    places = [k for k, one in enumerate(needed) if one]
    given = [c for c in cotangents if c is not None]
    found: list[Any] = [None] * len(tensors)
    if not places or not given:
        return found

    def law(*moved: Any) -> tuple[Any, ...]:
        put = dict(zip(places, moved, strict=True))
        results = piece.eager([put.get(k, t) for k, t in enumerate(tensors)], words)
        return tuple(r.to(c.dtype) for r, c in zip(results, cotangents, strict=True) if c is not None)

    _, back = torch.func.vjp(law, *(tensors[k] for k in places))
    for k, value in zip(places, back(tuple(given)), strict=True):
        found[k] = value
    return found


# The operators with their gradients, by name: a file that is loaded again finds them here.
_OPERATORS: dict[str, "Operator"] = {}


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator of torch, and the same for functions that are transformed: they want a class of autograd."""

    plain: Any
    transformed: Any

    def __call__(self, *given: Any) -> tuple[Any, ...]:
        return several(self.transformed(*given) if _transformed() else self.plain(*given))


def operator(rt: Any, file: str, piece: Piece, rule: Any) -> Operator:
    """The operator of a piece, named by the content of the file that calls it, with its gradient and its batches."""
    tables = piece.file.TABLES
    count = len(tables.inputs)

    def call(tensors: Sequence[Any], out: Any, given: Sequence[Any]) -> Any:
        return rt.result(dict(zip(tables.outputs, piece.run(tensors, given[:-LAST], out, given[-LAST:]), strict=True)))

    def batched(info: Any, dims: tuple[int | None, ...], *given: Any) -> Any:
        tensors = in_front(given[:count], dims[:count], [len(axes) for axes in tables.inputs.values()])
        results = _OPERATORS[made.name()](*tensors, *given[count:])
        return (results, (0,) * len(results)) if len(results) > 1 else (results[0], 0)

    made = rt.operator(tables, file, call)
    if made.name() not in _OPERATORS:
        torch.library.register_autograd(made, rule.backward, setup_context=rule.setup)
        torch.library.register_vmap(made, batched)
        rules = {"forward": made, "setup_context": rule.setup, "backward": rule.backward, "vmap": batched}
        methods = {n: staticmethod(f) for n, f in rules.items()}
        transformed: Any = type(piece.name, (torch.autograd.Function,), methods)
        _OPERATORS[made.name()] = Operator(made, transformed.apply)
    return _OPERATORS[made.name()]


def in_front(tensors: Sequence[Any], dims: Sequence[int | None], axes: Sequence[int]) -> list[Any]:
    """Tensors whose batch is the first leading dimension, before as many as the others have."""
    leading = [t.dim() - n - (d is not None) for t, d, n in zip(tensors, dims, axes, strict=True)]
    most, found = max(leading, default=0), []
    for t, d, n in zip(tensors, dims, leading, strict=True):
        found.append(t if d is None else t.movedim(d, 0)[(slice(None), *[None] * (most - n))])
    return found
