"""What is read from Triton's front end: small kernels against the same as data, and what is not to be equal."""

import json
import math
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import front_end_cases as cases
import numpy as np
import pytest
from support.evaluation import run

from refold.schedule import integers
from refold.schedule.capture import Wanted, capture
from refold.schedule.checks import problems
from refold.schedule.compare import compare
from refold.schedule.execute import execute
from refold.schedule.ir import Binary, For, Function, Let, Name, Number, Store
from refold.schedule.outcome import Outcome
from refold.schedule.reader import read
from refold.schedule.tiles import NoMeaning
from refold.schedule.ttir import TextError


def of_text(text: str) -> Outcome:
    kernel = read(text)
    return execute(kernel.kernel, kernel.types, {}, kernel.functions)


def of_data(name: str) -> Outcome:
    case = cases.CASES[name]
    return execute(case.kernel, case.types, {"BLOCK": cases.BLOCK}, case.functions)


@pytest.mark.parametrize("name", cases.CASES)
def test_a_kernel_does_what_the_same_kernel_as_data_does(name: str) -> None:
    outcome = of_text(cases.texts()[name])
    assert outcome.stores
    assert compare(outcome, of_data(name)) is None


@pytest.mark.parametrize("name", cases.CASES)
def test_a_kernel_that_is_read_is_legal(name: str) -> None:
    kernel, case = read(cases.texts()[name]), cases.CASES[name]
    assert problems([kernel.kernel, *kernel.functions.values()]) == []
    assert problems([case.kernel, *case.functions.values()]) == []


@pytest.mark.parametrize("name", cases.CASES)
def test_no_kernel_does_what_another_does(name: str) -> None:
    others = [n for n in cases.CASES if n != name]
    assert all(compare(of_text(cases.texts()[name]), of_data(n)) is not None for n in others)


# Of every mistake: the kernel, what of its text became what, and what is said of it.
MISTAKES = (
    ("affine", "mask=i < n)", "mask=i <= n)", "event 0, store to y_ptr, mask, lane 0"),
    ("affine", "x_ptr + i * stride", "x_ptr + i", "value, lane 0:\n  4*program(0)\n  4*program(0)*stride"),
    ("affine", "+ 1.0", "+ 1.5", "event 0, store to y_ptr, value, lane 0:\n  1.5\n  1.0"),
    ("affine", "other=0.0", "other=1.0", "value, lane 0:\n  1.0\n  0.0"),
    ("affine", "x * -1.0)", "x * -1.0, propagate_nan=tl.PropagateNan.ALL)", "value, lane 0:\n  larger("),
    ("affine", "scale + 1.0", "(scale + 1.0)", "value, lane 0"),
    ("affine", "y_ptr + i, ", "y_ptr + i + 1, ", "store to y_ptr, place, lane 0"),
    ("softmax_row", "tl.max(x, 0)", "tl.min(x, 0)", "value, lane 0"),
    ("logsumexp_row", "l * tl.exp(m - m_new) +", "l +", "carried by loop 0 as l_"),
    ("logsumexp_row", "    l = 0.0\n    place", "    l = 1.0\n    place", "at the start, lane 0:\n  1.0\n  0.0"),
    ("logsumexp_row", "range(0, n, BLOCK)", "range(BLOCK, n, BLOCK)", "event 0, loop 0, start:\n  4\n  0"),
    ("logsumexp_row", "place += BLOCK", "place += 1", "(iteration of loop 0 + n*program(0))\n  (4*iteration of"),
    ("logsumexp_row", "m = m_new", "m = m", "after an iteration, lane 0:\n  -inf\n  m.0 in loop 0"),
    ("quotients", "c * (i // c)", "c * i // c", "event 0, store to y_ptr, value, lane 0"),
    ("folds", "b > a", "b >= a", "value, lane 0"),
    ("folds", "tl.cumsum(x, 0)", "tl.cumsum(x, 0, reverse=True)", "value, lane 0"),
    ("branches", "if tl.program_id(0) < n", "if tl.program_id(0) <= n", "event 0, store to y_ptr, mask, lane 0"),
    ("branches", "        tl.store(y_ptr + i, x)\n", "", "event 0, store to y_ptr, place, lane 0"),
    ("branches", "x = x * x", "x = x + x", "event 1, store to y_ptr, value, lane 0"),
    ("fetches", "    tl.extra.cuda.gdc_wait()\n", "", "event 0:\n  a store to y_ptr in loops []\n  gdc_wait"),
    ("fetches", "* BLOCK, 0]", "* BLOCK, 1]", "value, lane 0:\n  1\n  0"),
    ("products", '"ieee"', '"tf32"', None),
    ("products", "tl.trans(b.to(tl.float16))", "b.to(tl.float16)", "value, lane 0"),
    ("products", "tl.load(a_ptr", "tl.load(b_ptr", "value, lane 0"),
)  # fmt: skip


@cache
def mistaken() -> tuple[str, ...]:
    """The texts of all mistakes, from one process."""
    wanted = []
    with TemporaryDirectory(prefix="refold-") as folder:
        for k, (name, right, wrong, _) in enumerate(MISTAKES):
            source = cases.FILE.read_text()
            start = source.index(f"def {name}(") if right in source.partition(f"def {name}(")[2] else 0
            assert right in source[start:], right
            path = Path(folder) / f"mistake_{k}.py"
            path.write_text(source[:start] + source[start:].replace(right, wrong, 1))
            wanted.append(Wanted(str(path), name, dict(cases.CASES[name].types), {"BLOCK": cases.BLOCK}))
        return tuple(c.text for c in capture(wanted))


@pytest.mark.parametrize("k", range(len(MISTAKES)), ids=[f"{m[0]}, {m[2]}" for m in MISTAKES])
def test_a_mistake_is_shown_where_it_is(k: int) -> None:
    name, _, _, place = MISTAKES[k]
    divergence = compare(of_text(mistaken()[k]), of_data(name))
    if place is None:  # of operands of 16 bits nothing is left out whatever the precision
        assert divergence is None
    else:
        assert place in str(divergence)


# Of every kernel: how many programs it has, and its arguments; tensors as lists with the name of their dtype.
N = 11
DATA = [math.sin(7.0 * k) * 3 for k in range(40)]
NOTHING = [0.0] * 40
ARGUMENTS: dict[str, tuple[int, dict[str, Any]]] = {
    "affine": (3, {"x_ptr": [DATA, "float32"], "y_ptr": [NOTHING, "float16"], "stride": 3, "scale": 0.7, "n": N}),
    "negated": (1, {"x_ptr": [DATA, "float32"], "y_ptr": [NOTHING, "float32"]}),
    "softmax_row": (2, {"x_ptr": [DATA, "float32"], "y_ptr": [NOTHING, "float32"], "n": 3}),
    "logsumexp_row": (3, {"x_ptr": [DATA, "float32"], "y_ptr": [NOTHING, "float32"], "n": N}),
    "quotients": (1, {"x_ptr": [DATA, "float32"], "y_ptr": [NOTHING, "float32"], "c": 2, "n": 0}),
    "folds": (1, {"x_ptr": [DATA, "float32"], "y_ptr": [NOTHING, "float32"], "at_ptr": [[0], "int32"]}),
    "branches": (2, {"x_ptr": [[abs(x) for x in DATA], "float32"], "y_ptr": [NOTHING, "float32"], "n": 1}),
    "products": (1, {"a_ptr": [DATA, "float16"], "b_ptr": [DATA, "float16"], "y_ptr": [NOTHING, "float32"]}),
}


@cache
def interpreted() -> dict[str, dict[str, list[float]]]:
    """What every kernel leaves in its tensors, in Triton's interpreter."""
    request = {name: (grid, {**args, "BLOCK": cases.BLOCK}) for name, (grid, args) in ARGUMENTS.items()}
    program = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("front_end_run.py"))]
    env = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(program, input=json.dumps(request), capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, list[float]]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", ARGUMENTS)
def test_what_is_read_computes_what_the_interpreter_computes(name: str) -> None:
    grid, args = ARGUMENTS[name]
    tensors = {k: np.array(v[0], dtype=v[1]) for k, v in args.items() if isinstance(v, list)}
    scalars = {k: np.float32(v) if isinstance(v, float) else v for k, v in args.items() if k not in tensors}
    run(of_text(cases.texts()[name]), scalars, tensors, grid)
    for tensor, values in interpreted()[name].items():
        wanted = np.array(values, dtype=tensors[tensor].dtype)
        np.testing.assert_allclose(tensors[tensor], wanted, rtol=1e-6, atol=0, err_msg=tensor)
    assert tensors["y_ptr"].any()


@pytest.mark.parametrize("name", cases.CASES)
def test_the_text_of_the_oldest_triton_is_read_too(name: str) -> None:
    """Descriptors, arguments and assembly are spelled otherwise there."""
    text = (Path(__file__).parent / "golden" / "test_front_end" / f"{name}_3.6.0.ttir").read_text()
    divergence = compare(of_text(text), of_data(name))
    if name == "negated" and not cases.MINUS_SUBTRACTS:
        assert divergence is not None and divergence.first.startswith("(0.0 - ")
    else:
        assert divergence is None


def test_an_operation_without_a_meaning_is_named_with_its_line() -> None:
    line = 1 + cases.FILE.read_text().splitlines().index("    while tl.atomic_cas(x_ptr, 0, 1) == 1:")
    with pytest.raises(TextError, match=rf"scf\.while at .*front_end_kernels\.py:{line}: no meaning is known of it"):
        read(cases.texts()["waits"])


@pytest.mark.parametrize(
    ("right", "wrong", "why"),
    [
        ("arith.cmpi slt", "arith.cmpi ult", "cmpi at .*: the comparison ult of unsigned integers"),
        ("arith.mulf", "arith.bitcast", r"arith\.bitcast at .*front_end_kernels\.py:\d+: no meaning"),
        ("arith.truncf", "arith.extui", "a cast of an unsigned integer"),
        ("!tt.ptr<f16>", "!tt.ptr<f8E5M2>", "the argument y_ptr at .*: no meaning is known of the dtype f8E5M2"),
        ("tensor<4xf32> to tensor<4xf16>", "tensor<4xf32> to tensor<4xf8E5M2>", "truncf at .*: no meaning .* f8E5M2"),
        ("tt.return", "tt.return loc(unknown)\n }\n tt.func private @f() attributes {} {\n tt.return", "has 2"),
    ],
)
def test_nothing_is_guessed(right: str, wrong: str, why: str) -> None:
    text = cases.texts()["affine"]
    assert right in text
    with pytest.raises(TextError, match=why):
        read(text.replace(right, wrong))


def test_a_loop_carries_an_argument_that_the_compiler_knows() -> None:
    n, k, y = Name("n"), Name("k"), Name("y_ptr", (), "pointer")
    double = For(Name("j"), Number(0), n, None, (Let(k, Binary("*", k, Number(2))),))
    kernel = Function("f", (y, n, k), (double, Store(y, k)))
    (carried,) = execute(kernel, {"y_ptr": "*i32", "n": "i32"}, {"k": 1}).loops[0].carried
    assert (carried.name, integers.value_of(carried.start.item())) == ("k", 1)
    assert carried.then.item() is integers.scale(carried.now.item(), 2)


def test_a_kernel_that_needs_what_is_not_given_has_no_meaning() -> None:
    case = cases.CASES["affine"]
    with pytest.raises(NoMeaning, match="the argument BLOCK, of which neither the type nor the value is given"):
        execute(case.kernel, case.types, {}, case.functions)
