"""Mutants of emitted kernels, by operators on their syntax trees, and what the bundle's own checks say of them.

`python kernel_mutation.py EXAMPLE` reads a JSON object on standard input, the sources of an example's kernel file by
name, and prints the check that each fails, or null. A process of its own, since TRITON_INTERPRET decides when triton is
first imported.
"""

from __future__ import annotations

import ast
import copy
import importlib
import importlib.util
import json
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from refold import derive, emit
from refold.emit import Kernel
from refold.verify import Proof, Result

OTHER_COMPARISON = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.NotEq: ast.Eq}
OTHER_CALL = {"maximum": "minimum", "minimum": "maximum", "max": "sum", "sum": "max", "exp2": "exp", "cdiv": "minimum"}


# Why a mutant computes the same, by what was changed.
WEIGHS_NOTHING = "a start value in a state whose weight is 0: the first update or merge multiplies it by 0"
NOT_TAKEN = (
    "a value in a branch of `where` that is not taken, or a guard whose other branch was NaN and not taken either"
)
SLOWER = "a bound that visits more tiles, masks more of them or writes twice: the same result, slower"
ONE_TILE = "the tiles of this range are one, so that its step is never taken"
NOT_EMPTY = "a tile that is visited holds an element, and nothing masks it"
MASKED_LATER = "what a masked lane loads is masked again before it counts"
LATER = "a kernel that gives no leave has the next one begin when it has ended: the same result, later"
EXPLAINED = (
    (r": (l|t|acc|mean|M\d|n|c|l2|t2|mean2) = tl\.full\(.* -> .* = tl\.full\(.*, (0|1)\.0, ", WEIGHS_NOTHING),
    (r": (\w+_safe) = tl\.where\(.* -> \1 = \w+$", NOT_TAKEN),
    (r": (\w+) = tl\.where\(\(?\w+ != 0\.0.* -> \1 = .* / \w+_safe(\[:, None\])?$", NOT_TAKEN),
    (r": last_row = .* -> last_row = tl\.(minimum|maximum)\(i0 \+ BLOCK_M, size_i\)( [-+] 1)?$", SLOWER),
    (
        r": lo = tl\.maximum\(lo, _position\(first_row\.to\(INDEX\) \+ 1 - window\)\)"
        r" -> lo = tl\.maximum\(lo, _position\((first_row\.to\(INDEX\)( - 1)?|1) - window\)\)$",
        SLOWER,
    ),
    (r": hi = tl\.minimum\(hi, last_row \+ 1\) -> hi = tl\.maximum\(hi, last_row \+ 1\)$", SLOWER),
    (r": free_hi = tl\.minimum\(free_hi, first_row \+ 1\) -> free_hi = tl\.minimum\(free_hi, (first_row|1)\)$", SLOWER),
    (
        r"_rolling: free_hi = .* -> free_hi = tl\.minimum\(tl\.minimum\(free_hi // BLOCK_N \* BLOCK_N, lo\), hi\)$",
        SLOWER,
    ),
    (r"_finish: range\(start, tl\.minimum\(start \+ chunk, size_\w+\)", SLOWER),
    # A condition of the summary dropped, or the masks beside it: the summary then says so of more tiles.
    (r"_live: return .* -> return tl\.max\((?!\(in_)", SLOWER),
    (r"_live: return .* -> return tl\.max\(\(in_\w+(\[[^&]*\])?( & in_\w+\[[^&]*\])?\)\.to", SLOWER),
    (r": (tl\.)?range\(free_hi, hi, BLOCK_N.* -> (tl\.)?range\(free_hi, hi, 2 \* BLOCK_N", ONE_TILE),
    (r": tl\.extra\.cuda\.gdc_launch_dependents\(\) -> (left out|nothing = 0)$", LATER),
    (r"_step: (\w+)_hat = tl\.where\(.* -> \1_hat = \1_new$", NOT_EMPTY),
    (r", other=.*\).* -> .*, other=7\.0\)", MASKED_LATER),
)


def explanation(name: str) -> str | None:
    """Why a mutant that no check kills is the same function; None where nothing is known."""
    return next((reason for pattern, reason in EXPLAINED if re.search(pattern, name)), None)


@dataclass(frozen=True, slots=True)
class KernelMutant:
    """The source of a bundle's kernel with one change; `name` is `function: line as it was -> as it is`."""

    name: str
    source: str


@cache
def kernel_of(name: str) -> Kernel:
    """The kernel of an example with a stand-in for the proof: what is emitted does not depend on it."""
    plan = derive(importlib.import_module(f"refold.examples.{name}").SPEC)
    return emit(Proof(plan, (Result("stand-in", "", "proved", 0.0, ""),), ()), name)


def mutants(source: str) -> list[KernelMutant]:
    """Every mutant of the `triton.jit` functions of a module, none of them twice.

    Triton's interpreter runs no Gluon: for wrong schedules of those functions see `gluon_model.py`.
    """
    tree = ast.parse(source)
    found: dict[str, str] = {ast.unparse(tree): ""}
    for n, function in enumerate(tree.body):
        if not isinstance(function, ast.FunctionDef) or "triton.jit" not in map(ast.unparse, function.decorator_list):
            continue
        for k, statement in enumerate(function.body):
            for old, shown, new in changed_statements(statement):
                body = [*function.body[:k], *new, *function.body[k + 1 :]]
                changed = copy.copy(function)
                changed.body = body
                module = ast.Module([*tree.body[:n], changed, *tree.body[n + 1 :]], [])
                name = " ".join(f"{function.name}: {old} -> {shown}".split())
                found.setdefault(ast.unparse(ast.fix_missing_locations(module)), name)
    return [KernelMutant(name, text) for text, name in found.items() if name]


def changed_statements(statement: ast.stmt) -> Iterator[tuple[str, str, list[ast.stmt]]]:
    """What a statement was, what is made of it, and what stands in its place; of a loop or branch, one inside of it."""
    if isinstance(statement, ast.For | ast.If):
        for k, inner in enumerate(statement.body):
            for old, shown, new in changed_statements(inner):
                whole = copy.copy(statement)
                whole.body = [*statement.body[:k], *new, *statement.body[k + 1 :]]
                yield old, shown, [whole] if whole.body else []
        for expr in changed(statement.iter) if isinstance(statement, ast.For) else ():
            loop = copy.copy(statement)
            loop.iter = expr
            yield ast.unparse(statement.iter), ast.unparse(expr), [loop]
        return
    for new in changed(statement):
        yield ast.unparse(statement), ast.unparse(ast.fix_missing_locations(new)), [new]
    if isinstance(statement, ast.AugAssign) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
    ):
        yield ast.unparse(statement), "left out", []


def changed(root: ast.AST) -> Iterator[Any]:
    """A tree with one of its nodes replaced, for every node and every operator."""
    for n, node in enumerate(ast.walk(root)):
        for new in of_node(node):
            yield replaced(root, n, new)


def replaced(root: ast.AST, n: int, new: ast.AST) -> ast.AST:
    """A copy of a tree with its n-th node (as `ast.walk` counts) replaced."""
    if n == 0:
        return new
    tree = copy.deepcopy(root)
    target = list(ast.walk(tree))[n]
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if value is target:
                setattr(parent, field, new)
            elif isinstance(value, list) and any(v is target for v in value):
                setattr(parent, field, [new if v is target else v for v in value])
    return tree


def of_node(node: ast.AST) -> Iterator[ast.AST]:
    """What a node is mistaken for."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in OTHER_COMPARISON:
            yield ast.Compare(node.left, [OTHER_COMPARISON[type(op)]()], node.comparators)
        case ast.BinOp(left=left, op=ast.Mult() | ast.Add(), right=right):
            yield left
            yield right
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            yield left
            yield ast.BinOp(right, ast.Sub(), left)
        case ast.BinOp(left=left, op=ast.BitAnd() | ast.BitOr(), right=right):
            yield left
            yield right
        case ast.BinOp(left=left, op=ast.Div() | ast.FloorDiv() | ast.Mod()):
            yield left
        case ast.UnaryOp(op=ast.USub(), operand=operand) if not isinstance(operand, ast.Call | ast.Constant):
            yield operand
        case ast.Call(func=ast.Name(id="range") | ast.Attribute(attr="range")):
            for args in of_range(*node.args):
                yield ast.Call(node.func, args, node.keywords)
        case ast.Call(func=ast.Attribute(value=ast.Name(id="tl"), attr=attr)):
            yield from of_call(node, attr)
        case ast.Call(func=ast.Name(id="_step"), args=args):
            for k, arg in enumerate(args):
                if isinstance(arg, ast.Constant) and arg.value is True:
                    yield ast.Call(node.func, [*args[:k], ast.Constant(False), *args[k + 1 :]], node.keywords)
        case ast.Call(func=ast.Name(id="_merge"), args=args):
            half = len(args) // 2
            yield ast.Call(node.func, [*args[half:], *args[half:]], node.keywords)
        case ast.Return(value=ast.Tuple(elts=elts)):
            for k, elt in enumerate(elts):
                if isinstance(elt, ast.Name) and elt.id.endswith("_new"):
                    stale = ast.Name(elt.id.removesuffix("_new"), ast.Load())
                    yield ast.Return(ast.Tuple([*elts[:k], stale, *elts[k + 1 :]], ast.Load()))


def of_range(lo: ast.expr, hi: ast.expr, step: ast.expr | None = None) -> Iterator[list[ast.expr]]:
    """A loop that begins late, ends early or late, or takes every other step."""
    by = step or ast.Constant(1)
    rest = [step] if step else []
    yield [ast.BinOp(lo, ast.Add(), by), hi, *rest]
    yield [lo, ast.BinOp(hi, ast.Sub(), by), *rest]
    if step:
        yield [lo, ast.BinOp(hi, ast.Add(), step), step]
        yield [lo, hi, ast.BinOp(ast.Constant(2), ast.Mult(), step)]


def of_call(node: ast.Call, attr: str) -> Iterator[ast.AST]:
    """A mask, a guard, an accumulator, an initial value or a function of Triton's mistaken."""
    if attr in OTHER_CALL:
        other = ast.Attribute(node.func.value, OTHER_CALL[attr], ast.Load())  # type: ignore[attr-defined]
        if attr != "cdiv":
            yield ast.Call(other, node.args, node.keywords)
    match attr:
        case "load" | "store":
            if any(k.arg == "mask" for k in node.keywords):
                yield ast.Call(node.func, node.args, [k for k in node.keywords if k.arg not in ("mask", "other")])
            for k in node.keywords:
                if k.arg == "other":
                    rest = [r for r in node.keywords if r is not k]
                    yield ast.Call(node.func, node.args, [*rest, ast.keyword("other", ast.Constant(7.0))])
        case "where":
            yield node.args[1]
            yield ast.Call(node.func, [node.args[0], node.args[2], node.args[1]], [])
        case "full":
            for value in (0.0, 1.0):
                yield ast.Call(node.func, [node.args[0], ast.Constant(value), *node.args[2:]], node.keywords)
        case "dot" if len(node.args) > 2:
            yield ast.Call(node.func, node.args[:2], node.keywords)
        case "trans":
            yield node.args[0]
        case "max" | "sum" | "argmax" if len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
            yield ast.Call(node.func, [node.args[0], ast.Constant(1 - int(node.args[1].value))], node.keywords)


# --- killing -------------------------------------------------------------------------------------------------------


class Killer:
    """Runs the checks of a bundle's own test file on a mutated kernel, in Triton's interpreter.

    Every access is held to the tensors that a launch was given, and what one launch leaves for the next starts as NaN.
    """

    def __init__(self, kernel: Kernel, folder: Path) -> None:
        self.folder, self.name = folder, kernel.name
        kernel.write(folder)
        self.test = load(kernel.test, f"test_{kernel.name}", folder)
        draw, bounds = self.test.draw, self.test.bounds
        drawn: dict[str, Any] = {}
        bounded: dict[int, Any] = {}

        def drawn_once(size: dict[str, int], dtype: Any, **kinds: Any) -> Any:
            key = f"{sorted(size.items())} {dtype} {kinds}"
            if key not in drawn:
                drawn[key] = draw(size, dtype, **kinds)
            return drawn[key]

        def bounded_once(inputs: Any, dtype: Any, lengths: Any) -> Any:
            if id(inputs) not in bounded:
                bounded[id(inputs)] = bounds(inputs, dtype, lengths)
            return bounded[id(inputs)]

        self.test.draw, self.test.bounds = drawn_once, bounded_once
        self.ranges: list[tuple[int, int]] = []
        self.launch = self.test.kernel.rt.launch
        self.hold()

    def hold(self) -> None:
        """Holds every load and store of the interpreter to what the launch was given."""
        from triton.runtime import interpreter

        builder = interpreter.InterpreterBuilder
        loads, stores = builder.create_masked_load, builder.create_masked_store

        def load(this: Any, ptrs: Any, mask: Any, *rest: Any) -> Any:
            self.inside(ptrs.data, mask.data)
            return loads(this, ptrs, mask, *rest)

        def store(this: Any, ptrs: Any, value: Any, mask: Any, *rest: Any) -> Any:
            self.inside(ptrs.data, mask.data)
            return stores(this, ptrs, value, mask, *rest)

        builder.create_masked_load, builder.create_masked_store = load, store

    def inside(self, addresses: Any, mask: Any) -> None:
        import numpy as np

        used = addresses[np.broadcast_to(mask, addresses.shape).astype(bool)].astype(np.int64)
        held = np.zeros(used.shape, bool)
        for low, high in self.ranges:
            held |= (low <= used) & (used < high)
        if not held.all():
            raise IndexError("an access outside of every tensor")

    def killed_by(self, source: str) -> str | None:
        """The first check that a mutant fails; None for a survivor."""
        module = load(source, self.name, self.folder)
        launch = self.launch

        def held(kernel: Any, grid: Any, args: dict[str, Any], options: Any) -> None:
            import torch

            tensors = [a for a in args.values() if isinstance(a, torch.Tensor) and a.numel()]
            self.ranges = [(t.data_ptr(), t.data_ptr() + reach(t)) for t in tensors]
            if not getattr(kernel, "__name__", str(kernel)).endswith("_finish"):
                for name, t in args.items():
                    if name.startswith("part_"):
                        t.fill_(torch.nan if t.dtype.is_floating_point else -7)
            launch(kernel, grid, args, options)

        module.rt.launch = held
        self.test.kernel = module
        for name, check in self.checks():
            try:
                check()
            except AssertionError as failure:
                return f"{name}: {str(failure).splitlines()[0][:80]}"
            except Exception as failure:  # whatever a mutant raises kills it, and its name is reported
                return f"{name}: {type(failure).__name__}: {(str(failure).splitlines() or [''])[-1][:80]}"
        return None

    def checks(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """The checks of the test file, the likeliest first."""
        import torch

        test = self.test
        single, schedules = torch.float32, test.SCHEDULES
        for s in schedules:
            yield f"rising, {s}", lambda s=s: test.test_rising_values(s)
        for s in schedules:
            yield f"more rows, {s}", lambda s=s: test.test_more_rows_than_positions(s)
        for s in ("rolling", "split"):
            yield f"tall tiles, {s}", lambda s=s: test.test_tall_tiles(s)
            for lead in ((2, 3), (2, 1, 2)):
                yield f"strided, {s}", lambda s=s, lead=lead: test.test_leading_dimensions_and_strides(lead, s)
        for length in (33, 16, 1, 0):
            for s in schedules:
                yield f"length {length}, {s}", lambda n=length, s=s: test.test_length(n, s)
        for s in ("rolling", "split"):
            yield f"large, {s}", lambda s=s: test.test_large_logits(single, s)
            yield f"constant, {s}", lambda s=s: test.test_constant_rows(s)


def reach(tensor: Any) -> int:
    """The bytes from a tensor's first element to behind its last one."""
    last = sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return int((last + 1) * tensor.element_size())


def load(source: str, name: str, folder: Path) -> ModuleType:
    """A module from its text; each in a file of its own, from which triton reads it."""
    path = folder / f"{name}_{count()}" / f"{name}.py"
    path.parent.mkdir()
    for file in folder.glob("*.py"):
        (path.parent / file.name).write_text(file.read_text())
    path.write_text(source)
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def count(numbers: Iterator[int] = iter(range(10**9))) -> int:  # noqa: B008
    return next(numbers)


def main() -> None:
    """Judges mutants of one example, given by name as the sources of its kernel file."""
    os.environ["TRITON_INTERPRET"] = "1"
    warnings.simplefilter("ignore")
    kernel, sources = kernel_of(sys.argv[1]), json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as folder:
        killer = Killer(kernel, Path(folder))
        fault = killer.killed_by(kernel.source)
        assert fault is None, f"the kernel itself fails: {fault}"
        print(json.dumps({name: killer.killed_by(source) for name, source in sources.items()}))


if __name__ == "__main__":
    main()
