"""Prints the test of a bundle: it replays the proof, and runs the kernel against the reference in float64."""

from __future__ import annotations

import math
from typing import Any

import sympy as sp

from refold.emit.kernels import Kernels
from refold.emit.launcher import sized_by
from refold.spec import Fold, Index, Param, Read, Spec


def test_text(name: str, kernels: Kernels, hopper: bool) -> str:
    """The whole of test_NAME.py; `hopper`: there is a kernel for Hopper too."""
    spec = kernels.plan.spec
    constants = "\n".join(
        [
            f"SIZES = {_sizes(kernels)!r}",
            f"FOLD, ROWS = {kernels.roles.fold.name!r}, {kernels.roles.rows.name if kernels.roles.rows else None!r}",
            f"SCALARS = {_scalars(spec)!r}",
            "# An integer tensor holds positions along an axis, with a scalar's value among them, or small numbers.",
            f"INTEGERS = {integers_of(spec, kernels.roles.fold)!r}",
            f"LARGE = {_large(spec)!r}",
            f"AXES = {[a.name for a in sized_by(spec)[2]]!r}",
        ]
    ).replace("'", '"')
    return (
        TEXT.replace("NAME", name)
        .replace("# CONSTANTS", constants)
        .replace("# ALIGNED\n", ALIGNED if kernels.boxes else "")
        .replace("# LONG\n", _long(name, kernels) if hopper else "")
    )


def _long(name: str, k: Kernels) -> str:
    """The test of the kernel for Hopper, with more tiles of 128 rows than a device has multiprocessors."""
    sizes = _sizes(k)
    batch = math.prod(sizes[a.name] for a in k.roles.batch)
    return (
        LONG.replace("NAME", name)
        .replace("INNER", repr([a.name for a in k.roles.inner]))
        .replace("LEAD", str(-(-14 // batch)))
        .replace("'", '"')
    )


def _sizes(k: Kernels) -> dict[str, int]:
    """Small sizes that no block divides; an axis reached by an index map such as `h // group` is shorter than h."""
    spec, roles = k.plan.spec, k.roles
    wish = {roles.fold: 37, **dict.fromkeys(roles.batch, 2), **dict(zip(roles.inner, (5, 7), strict=False))}
    if roles.rows is not None:
        wish[roles.rows] = 33
    sizes = {a.name: wish.get(a, 3) for a in spec.axes}
    for read in _reads(spec):
        for axis, index in zip(read.tensor.axes, read.indices, strict=True):
            if isinstance(index, Index) or index.has(Read):
                continue
            if roles.fold in index.free_symbols:
                # A page of 4 lines, and pages for more positions than any test has.
                sizes[axis.name] = 4 if index.has(sp.Mod) else 12
                continue
            sizes[axis.name] = 2
            sizes |= {a.name: 6 for a in index.free_symbols if isinstance(a, Index)}
    for axis, index, _ in sized_by(spec)[1]:
        sizes[index.name] = sizes[axis.name]
    return sizes


def _reads(spec: Spec) -> list[Read]:
    return [n for o in spec.outputs for n in sp.preorder_traversal(o.expr) if isinstance(n, Read)]


def _conditions(spec: Spec) -> list[Any]:
    return [
        n for o in spec.outputs for n in sp.preorder_traversal(o.expr) if isinstance(n, sp.core.relational.Relational)
    ]


def marks_of(spec: Spec) -> set[Param]:
    """The scalars that integer data is compared with for equality."""
    return {
        p
        for c in _conditions(spec)
        if isinstance(c, sp.Eq | sp.Ne) and c.has(Read)
        for p in c.free_symbols
        if isinstance(p, Param)
    }


def _scalars(spec: Spec) -> dict[str, float | int]:
    marks = marks_of(spec)
    found: dict[str, float | int] = {}
    for p in spec.params:
        if p in marks:
            found[p.name] = -100
        elif p.is_integer:
            found[p.name] = 5
        else:
            found[p.name] = 0.5 if p.is_positive else 0.25
    return found


def integers_of(spec: Spec, fold: Index) -> dict[str, tuple[str, str]]:
    """For each integer tensor the axis along which it holds positions, and the scalar that is a mark in it, or ""."""
    found = {t.name: ("", "") for t in spec.tensors if t.is_integer}
    for read in _reads(spec):
        for axis, index in zip(read.tensor.axes, read.indices, strict=True):
            for inner in [n for n in sp.preorder_traversal(index) if isinstance(n, Read)]:
                found[inner.name] = (axis.name, found[inner.name][1])
    for cond in _conditions(spec):
        for read in [n for n in sp.preorder_traversal(cond) if isinstance(n, Read)]:
            marks = [p.name for p in cond.free_symbols if isinstance(p, Param)]
            if marks and isinstance(cond, sp.Eq | sp.Ne):
                found[read.name] = (found[read.name][0], marks[0])
            elif fold in cond.free_symbols and not isinstance(cond, sp.Eq | sp.Ne):
                found[read.name] = (fold.name, "")
    return found


def _large(spec: Spec) -> float:
    """The size of the inputs that makes logits of about 1e4: the product of two of them, for a dot product."""
    dots = any(isinstance(n, Fold) and len(sp.Mul.make_args(n.body)) > 1 and not n.body.has(sp.exp)
               for o in spec.outputs for n in sp.preorder_traversal(o.expr))  # fmt: skip
    return 1e2 if dots else 1e4


TEXT = '''"""Tests NAME.py: replays the proof, and runs the kernels against the reference in float64."""

import importlib.util
import json
import os
from pathlib import Path

import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("NAME", HERE / "NAME.py")
kernel = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(kernel)

# CONSTANTS
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
# 16 x 16 tiles, so that small sizes make several of them; 9 parts are more than there are tiles.
SCHEDULES = {
    "rolling": {"schedule": "rolling"},
    "split": {"schedule": "split", "splits": 2},
    "empty splits": {"schedule": "split", "splits": 9},
}
pytestmark = pytest.mark.filterwarnings("ignore")


def draw(size, dtype, lead=(), strided=False, large=1.0, constant=False, rising=False):
    """One set of inputs, quantised to `dtype` once."""
    g = torch.Generator().manual_seed(size[FOLD])
    found = {}
    for n, (name, axes) in enumerate(kernel.INPUTS.items()):
        # Every other tensor lacks the first leading dimension; which ones, the number of dimensions decides.
        shape = [*(lead if (n + len(lead)) % 2 == 0 else lead[1:]), *(size[a] for a in axes)]
        if name in INTEGERS:
            axis, mark = INTEGERS[name]
            kind = getattr(torch, kernel.DTYPES[name])
            x = torch.randint(0, max(1, size.get(axis, 3)), shape, generator=g, dtype=kind)
            if mark:
                x = torch.where(torch.rand(shape, generator=g) < 0.25, SCALARS[mark], x)
        else:
            wide = [2 * s for s in shape] if strided else shape
            x = (torch.randn(wide, generator=g) * large).to(dtype)
            x = x[tuple(slice(None, None, 2) for _ in shape)] if strided else x
            if rising and FOLD in axes:
                # Later tiles hold the larger values: what was summed before has to be moved.
                ramp = 1 + torch.arange(size[FOLD]) / 4
                x = (x * ramp.reshape([-1] + [1] * (len(axes) - 1 - axes.index(FOLD)))).to(dtype)
            if constant and FOLD in axes:
                x = x.narrow(x.dim() - len(axes) + axes.index(FOLD), 0, min(1, size[FOLD])).expand(shape)
        found[name] = x.to(DEVICE)
    return found


def rows(length):
    """Another number of rows, where there are any and nothing else hangs on their number."""
    return {ROWS: length} if ROWS and SIZES[ROWS] == 33 else {}


def many(result):
    return result if isinstance(result, dict) else {next(iter(kernel.OUTPUTS)): result}


def reference(inputs, dtype, lengths, factor=None):
    """The eager form in `dtype`, with every input multiplied by `factor(input)` first."""
    floats = {n: x if n in INTEGERS else x.to(dtype) for n, x in inputs.items()}
    if factor is not None:
        floats = {n: x if n in INTEGERS else x * factor(x) for n, x in floats.items()}
    return many(kernel.reference(*floats.values(), **SCALARS, **lengths))


def bounds(inputs, dtype, lengths):
    """The exact result and how far from it a kernel may be, for each output.

    Twice the error of the eager form in the same dtype, one rounding of the result, and what the result changes
    by when the inputs change by one rounding of float32, once for each place where any kernel rounds: the product,
    its scale, the difference in the exponent, the exponential. At logits of 1e4 one of them moves an exponent by
    1e-3, whatever the algorithm, and a single run of the eager form may be lucky. No other tolerance.
    """
    exact, eager = reference(inputs, torch.float64, lengths), reference(inputs, dtype, lengths)
    wide = reference(inputs, torch.float32, lengths)
    g = torch.Generator().manual_seed(0)

    def rounding(x):
        sign = torch.randint(0, 2, x.shape, generator=g).to(x) * 2 - 1
        return 1 + torch.finfo(torch.float32).eps * sign

    moved = [reference(inputs, torch.float64, lengths, rounding) for _ in range(4)]
    found = {}
    for name, value in exact.items():
        if not value.dtype.is_floating_point:
            found[name] = (value, 0.0)
            continue
        value = value.to(dtype).double().where(value.to(dtype).isinf(), value)  # beyond the range of dtype
        peer = torch.where(eager[name].isfinite(), eager[name], wide[name].to(dtype)).double()
        finite = value.isfinite()
        worst = lambda other: (other - value)[finite].abs().max().item() if finite.any() else 0.0  # noqa: E731
        size = value[finite].abs().max().item() if finite.any() else 0.0
        found[name] = (value, 2 * worst(peer) + torch.finfo(dtype).eps * size + sum(worst(m[name]) for m in moved))
    return found


def check(size, dtype, options, block_m=16, **kinds):
    inputs = draw(size, dtype, **kinds)
    lengths = {a: size[a] for a in AXES}
    expected = bounds(inputs, dtype, lengths)
    # Outputs start as NaN: what the kernel does not write is seen.
    out = {n: torch.full_like(v, torch.nan, dtype=dtype) if v.dtype.is_floating_point else torch.full_like(v, -7)
           for n, (v, _) in expected.items()}
    blocks = {"block_m": block_m, "block_n": 16} if block_m else {}
    kernel.NAME(*inputs.values(), **SCALARS, **lengths, **options, **blocks, out=out)
    for name, (value, bound) in expected.items():
        got = out[name].double()
        finite = value.double().isfinite()
        same = torch.where(value.isnan(), got.isnan(), got == value) | finite
        assert same.all(), f"{name}: infinite or undefined at other places than in the reference"
        assert got[finite].isfinite().all(), f"{name}: not a number where the reference has one, or not written"
        error = (got - value)[finite].abs().max().item() if finite.any() else 0.0
        assert error <= bound, f"{name}: error {error:.3g}, allowed {bound:.3g}"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_ragged(dtype, schedule):
    check(SIZES, dtype, SCHEDULES[schedule])


# ALIGNED
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("length", [0, 1, 16, 33])
def test_length(length, schedule):
    check(SIZES | {FOLD: length}, torch.float32, SCHEDULES[schedule])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_more_rows_than_positions(schedule):
    # Where rows are masked from the end, the first ones are masked altogether.
    check(SIZES | {FOLD: 18} | rows(40), torch.float32, SCHEDULES[schedule])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_rising_values(schedule):
    check(SIZES, torch.float32, SCHEDULES[schedule], rising=True)


@pytest.mark.parametrize("dtype", DTYPES[:2], ids=str)
@pytest.mark.parametrize("schedule", ["rolling", "split"])
def test_large_logits(dtype, schedule):
    check(SIZES, dtype, SCHEDULES[schedule], large=LARGE)


@pytest.mark.parametrize("schedule", ["rolling", "split"])
def test_constant_rows(schedule):
    check(SIZES, torch.bfloat16, SCHEDULES[schedule], large=LARGE, constant=True)


@pytest.mark.parametrize("schedule", ["rolling", "split"])
@pytest.mark.parametrize("lead", [(3,), (2, 3), (2, 1, 2)], ids=str)
def test_leading_dimensions_and_strides(lead, schedule):
    # As many rows as make the last part count where the later positions are masked for the first rows.
    check(SIZES | {FOLD: 20} | rows(19), torch.float32, SCHEDULES[schedule], block_m=32, lead=lead, strided=True)


@pytest.mark.parametrize("schedule", ["rolling", "split"])
def test_tall_tiles(schedule):
    # Rows of one tile whose masks begin in several tiles along the axis.
    check(SIZES, torch.float32, SCHEDULES[schedule], block_m=64, rising=True)


@pytest.mark.parametrize("schedule", ["rolling", "split"])
def test_a_call_again(schedule):
    # What the first call worked out and compiled serves the second, with other data at other places.
    check(SIZES, torch.float32, SCHEDULES[schedule])
    check(SIZES, torch.float32, SCHEDULES[schedule], rising=True)


if DEVICE == "cuda":

    @pytest.mark.parametrize("schedule", ["rolling", "split"])
    def test_a_graph(schedule):
        # A captured call, replayed on other data, is that call.
        held, lengths = draw(SIZES, torch.float32), {a: SIZES[a] for a in AXES}
        call = lambda: many(kernel.NAME(*held.values(), **SCALARS, **lengths, **SCHEDULES[schedule]))  # noqa: E731
        call()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = call()
        for name, x in draw(SIZES, torch.float32, rising=True).items():
            held[name].copy_(x)
        for x in out.values():
            x.fill_(-7)
        graph.replay()
        for name, value in call().items():
            assert torch.equal(out[name].nan_to_num(9), value.nan_to_num(9)), name


# LONG
def proof():
    return json.loads((HERE / "NAME.proof.json").read_text(encoding="utf-8"))


def checker():
    found = importlib.util.spec_from_file_location("recheck", HERE / "recheck.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_certificates():
    tally = checker().recheck(proof())
    assert tally["obligations"] == len(proof()["obligations"])


def test_a_changed_proof_is_rejected():
    module, changed = checker(), proof()
    for obligation in changed["obligations"]:
        for certificate in obligation["proof"]:
            case = certificate["case"]
            while "if" in case:
                case = case["then"]
            case["equations"] = [{"equation": "x = x + 1", "cofactors": []}]
    changed["key"] = module.key(changed)
    with pytest.raises(module.Rejected):
        module.recheck(changed)


def test_solver_agrees():
    z3 = pytest.importorskip("z3")
    for name, script in proof()["scripts"].items():
        solver = z3.Solver()
        solver.set("timeout", 10000)
        solver.from_string(script["smt2"])
        assert solver.check() == z3.unsat, name
'''

ALIGNED = """@pytest.mark.parametrize("dtype", DTYPES[1:], ids=str)
@pytest.mark.parametrize("schedule", ["rolling", "split"])
def test_aligned(dtype, schedule):
    # Rows of whole multiples of 16 bytes, which tensor descriptors can read; no block divides the lengths.
    check({a: n if a in (FOLD, ROWS) or n % 2 == 0 else 8 * n for a, n in SIZES.items()}, dtype, SCHEDULES[schedule])


"""

LONG = """if DEVICE == "cuda" and torch.cuda.get_device_capability()[0] == 9:

    @pytest.mark.parametrize("dtype", DTYPES[1:], ids=str)
    @pytest.mark.parametrize("width", [64, 128])
    def test_long(dtype, width):
        # Long enough for the kernel for Hopper; no block divides the lengths.
        kernel._CALLS.clear()
        size = SIZES | dict.fromkeys(INNER, width) | {FOLD: 8219 if kernel.COSTLY else 2139, ROWS: 1203}
        check(size, dtype, {"schedule": "rolling"}, block_m=None, lead=(LEAD,))
        (call,) = kernel._CALLS.values()
        assert call.launches[0].kernel is kernel.NAME_hopper


"""
