"""No name is reserved and none changes the kernel: Hypothesis draws those of tensors, scalars, axes, outputs and specs.

REFOLD_RANDOM_NAMES=500 tries that many sets of names.
"""

from __future__ import annotations

import json
import keyword
import os
import re
import subprocess
import sys
from dataclasses import fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unicodedata import normalize

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.up_to_names import difference

from refold import Proof, Scalar, Spec, Tensor, axes, derive, emit, exp, fold, log, maximum, oo, pipeline, verify, where
from refold.algebra import Plan, Staged, stages
from refold.emit import Kernel, StagedKernel, interpreter
from refold.emit.trial import RAN, tried
from refold.schedule import ir
from refold.schedule.lower.kernels import Kernels, kernels
from refold.schedule.lower.renaming import public
from refold.verify import Result
from refold.verify.certificate import recheck
from refold.verify.staged import Composed

# Words of Python, of Triton and of the emitted text.
WORDS = """scale chunk stage held size out tl max min sum len first slot scores torch math triton lead part parts batch
BLOCK_M BLOCK_N SIZE_d INDEX MASKED DESC OPERAND pid i0 j0 lo hi m l acc p s alpha x_ptr size_j in_j dtype device live
schedule splits block_m step merge given inputs args float int range str list dict print type id object recheck n t q
k v d e m_new m_hat l_new acc_new dot scale_2 lead0 lead1 program stride_x_i size_i tiles group free_hi class_ self cls
reference rt TABLES work programs hopper gl warps phase load store INDEX_1 lambda_ E I S N O Q pi oo exp log where fold
axes pipeline refold numpy np sp zoo nan inf True None empty options device_ num_warps num_stages out_ outputs"""
# What lowering makes of names, and names that differ by an underscore alone.
FORMS = (
    "{}_ptr", "stride_{}", "size_{}", "SIZE_{}", "BLOCK_{}", "in_{}", "{}_lead0", "{}_part", "part_{}", "part_{}_ptr",
    "{}_new", "{}_hat", "{}_safe", "{}_1", "{}_2", "{}_", "{}__", "{}0", "{}_i", "{}_kernel", "{}_{}",
)  # fmt: skip
ASCII = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,6}", fullmatch=True)
LETTERS = st.from_regex(r"[^\W\d_]\w{0,3}", fullmatch=True).filter(str.isidentifier)
PLAIN = ("rows", "cols", "deep", "wide", "query", "keys", "values", "mine", "theirs", "bias", "temp", "window", "mean",
         "total", "plain")  # fmt: skip
COUNT = int(os.environ.get("REFOLD_RANDOM_NAMES", "8"))

# What stands for a proof where none is asked of.
STAND_IN = (Result("stand-in", "", "proved", 0.0, ""),)


@st.composite
def names(draw: st.DrawFn) -> tuple[str, ...]:
    """As many names as PLAIN has, each another one; the last is that of the pipeline."""
    drawn = [*PLAIN]
    places = st.integers(0, len(PLAIN) - 1)
    words = st.one_of(st.sampled_from([*WORDS.split(), *keyword.kwlist]), ASCII, LETTERS)
    made = st.tuples(st.sampled_from(FORMS), places, places)
    for place, name in draw(st.lists(st.tuples(places, words | made), min_size=10, max_size=40)):
        new = name if isinstance(name, str) else name[0].format(*(drawn[k] for k in name[1:]))
        # Python takes names for the same that are written with other forms of the same letters; `pipeline(empty=...)`
        # is no output.
        if normalize("NFKC", new) not in [normalize("NFKC", n) for n in drawn] and new != "empty":
            drawn[place] = new
    return tuple(drawn)


def written(drawn: tuple[str, ...]) -> Spec:
    """Attention with a temperature, a bias, a sink, a window and segments, over the names given."""
    row, column, depth, width, queries, keys, values, mine, theirs, bias, scalar, window, mean, total, _ = drawn
    i, j, d, e = axes(" ".join((row, column, depth, width)))
    q, k, v, b = Tensor(queries, i, d), Tensor(keys, j, d), Tensor(values, j, e), Tensor(bias, i, j)
    one, other = Tensor(mine, i, dtype="int32"), Tensor(theirs, j, dtype="int32")
    s = fold.sum(q[i, d] * k[j, d], over=d) * Scalar(scalar, positive=True) + b[i, j]
    near = j >= i - Scalar(window, integer=True, positive=True)
    s = where(near & (one[i] == other[j]), s, -oo)
    m = maximum(fold.max(s, over=j), 0)
    p = exp(s - m)
    l = fold.sum(p, over=j) + exp(-m)
    outputs: dict[str, Any] = {mean: (fold.sum(p * v[j, e], over=j) / l)[i, e], total: (m + log(l))[i]}
    return pipeline(**outputs)


def planned(spec: Spec) -> Plan:
    plan = derive(spec)
    assert isinstance(plan, Plan), str(plan)
    return plan


@cache
def plain() -> Kernels:
    return kernels(planned(written(PLAIN)), PLAIN[-1])


def check_module(drawn: tuple[str, ...]) -> None:
    made = kernels(planned(written(drawn)), drawn[-1])
    assert difference(plain().module, made.module) is None


@settings(max_examples=COUNT, derandomize=COUNT == 8)
@given(names())
def test_no_name_changes_the_kernel(drawn: tuple[str, ...]) -> None:
    check_module(drawn)


@pytest.mark.slow
@settings(max_examples=100)
@given(names())
def test_none_of_many_names_changes_the_kernel(drawn: tuple[str, ...]) -> None:
    check_module(drawn)


def eager(x: dict[str, Any], temperature: float, window: int) -> list[Any]:
    """The same as an array at a time has it."""
    i, j = np.ogrid[: len(x["query"]), : len(x["keys"])]
    s = x["query"] @ x["keys"].T * temperature + x["bias"]
    s = np.where((j >= i - window) & (x["mine"][:, None] == x["theirs"]), s, -np.inf)
    m = np.maximum(s.max(1), 0)
    p = np.exp(s - m[:, None])
    l = p.sum(1) + np.exp(-m)
    return [p @ x["values"] / l[:, None], m + np.log(l)]


def check_run(drawn: tuple[str, ...], folder: Path) -> None:
    """The emitted file is imported and called, in Triton's interpreter, by the names that its user gave."""
    plan = planned(written(drawn))
    kernel = emit(Proof(plan, STAND_IN, ()), drawn[-1])
    rng, user = np.random.default_rng(0), {a: normalize("NFKC", b) for a, b in zip(PLAIN, drawn, strict=True)}
    shapes = {"query": (5, 3), "keys": (19, 3), "values": (19, 2), "bias": (5, 19), "mine": (5,), "theirs": (19,)}
    x = {n: rng.integers(0, 2, s) if n in ("mine", "theirs") else rng.normal(size=s) for n, s in shapes.items()}
    wanted = dict(zip((user["mean"], user["total"]), eager(x, 0.7, 2), strict=True))
    for call, outputs in called(kernel, {user[n]: a for n, a in x.items()}, {user["temp"]: 0.7, user["window"]: 2},
                                folder).items():  # fmt: skip
        assert {*outputs} == {*wanted}, call
        for name, values in outputs.items():
            # Scores of float32 are off by their size times 1e-7, and an exponential by as much of itself.
            np.testing.assert_allclose(np.reshape(values, wanted[name].shape), wanted[name], rtol=1e-5, atol=1e-5)


def called(kernel: Kernel, tensors: dict[str, Any], words: dict[str, Any], folder: Path) -> dict[str, Any]:
    made = kernels(kernel.proof.plan, kernel.name)
    for file, text in kernel.code.items():
        (folder / file).write_text(text, encoding="utf-8")
    blocks = {"block_m": 16, "block_n": 16}
    request = {
        "file": str(folder / f"{kernel.name}.py"),
        "name": kernel.name,
        "tensors": [
            (tensors[t.name].flatten().tolist(), tensors[t.name].shape, "int32" if t.is_integer else "float32")
            for t in kernel.proof.plan.spec.tensors
        ],
        "words": {public(p.name, made.users): words[made.users.get(p.name, p.name)] for p in made.plan.spec.params},
        "lengths": {},
        "calls": {"rolling": {"schedule": "rolling", **blocks}, "split": {"schedule": "split", "splits": 2, **blocks}},
    }
    env = os.environ | {"TRITON_INTERPRET": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-P", "-W", "ignore", interpreter.__file__]
    done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    answers: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert {*answers} == {"eager", "rolling", "split"}
    return answers


# Names for all of PLAIN. Python reads the first three letters of the second as `max`, `fi` and `if`.
SETS = (
    "tl size_i BLOCK_M out torch schedule math SIZE_ size_x lambda sum class x_ptr len recheck",
    "ｍax ﬁ ｉf ß Ĉ ſĵ None j0 acc m_new lead0 program x_ part_m größe",
    "held stage chunk size scale slot warps device live m l p s alpha sum",
    "a b a_b a_b_b b_a a_ a__ a___ a_ptr a_lead0 in_a size_a BLOCK_a part_a torch",
)


@pytest.mark.parametrize(
    "drawn", [*SETS[:2], *(pytest.param(s, marks=pytest.mark.slow) for s in SETS[2:])], ids=lambda s: s.split()[-1]
)
def test_words_and_letters_run(drawn: str, tmp_path: Path) -> None:
    check_run(tuple(drawn.split()), tmp_path)


@pytest.mark.slow
@settings(max_examples=10)
@given(names())
def test_any_names_run(drawn: tuple[str, ...]) -> None:
    with TemporaryDirectory() as folder:
        check_run(drawn, Path(folder))


def check(plan: Plan, name: str) -> None:
    """Verified, emitted, run, and its proof file is one that a reader takes."""
    report = verify(plan)
    assert isinstance(report, Proof), str(report)
    kernel = tried(emit(report, name))
    assert RAN in kernel.source
    assert recheck.recheck(json.loads(kernel.document))["obligations"] == len(report.results)


@pytest.mark.parametrize(
    "name", ["torch", *(pytest.param(n, marks=pytest.mark.slow) for n in ("recheck", "sum", "len", "größe"))]
)
def test_a_pipeline_may_be_called_what_its_bundle_imports(name: str) -> None:
    """And its tensors what the public function calls its own arguments."""
    i, j = axes("i j")
    x = Tensor("schedule", i, j)[i, j]
    check(planned(pipeline(out=fold.sum(x * x, over=j)[i])), name)


def run_by_name(kernel: Kernel | StagedKernel, wanted: dict[str, Any], folder: Path) -> None:
    """Calls the function of a bundle in all ways that give outputs by name."""
    for file, text in kernel.code.items():
        (folder / file).write_text(text, encoding="utf-8")
    env = os.environ | {"TRITON_INTERPRET": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-W", "ignore", "-c", BY_NAME.format(wanted=wanted, module=kernel.name)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-2000:]


# A program beside the bundle, since the variable above has to be set before triton is imported.
BY_NAME = """
import torch, {module} as module
x, wanted = torch.tensor([[1.0, -2.0], [5.0, 3.0]]), {wanted}
assert list(module.TABLES.outputs) == list(wanted)
first = next(iter(wanted))

def traced(x):
    # What torch.compile sees.
    untraced, torch.compiler.is_compiling = torch.compiler.is_compiling, lambda: True
    found, torch.compiler.is_compiling = module.{module}(x), untraced
    return found

given = {{n: torch.zeros(2, dtype=torch.int64 if n in module.TABLES.whole else None) for n in wanted}}
for found in (module.{module}(x), module.reference(x), module.{module}(x, out=given), given, traced(x)):
    assert {{name: value.tolist() for name, value in found.items()}} == wanted, found
try:
    module.{module}(x, out={{first: torch.zeros(3)}})
except ValueError as error:
    assert f"for {{first}}: give [2]" in str(error), error
else:
    raise AssertionError("a result of another length was taken")
"""


def test_outputs_have_the_names_that_their_user_gave(tmp_path: Path) -> None:
    """In the results, in `out`, in messages and in the reference, though the kernels have to call them otherwise."""
    i, j = axes("i j")
    x = Tensor("tl", i, j)[i, j]
    spec = pipeline(len=fold.sum(x * x, over=j)[i], out=fold.argmax(x, over=j)[i], plain=fold.max(x, over=j)[i])
    wanted = {"len": [5.0, 34.0], "out": [0, 0], "plain": [1.0, 5.0]}
    run_by_name(emit(Proof(planned(spec), STAND_IN, ()), "f"), wanted, tmp_path)


def test_outputs_of_several_stages_have_them_too(tmp_path: Path) -> None:
    i, j = axes("i j")
    x = Tensor("tl", i, j)[i, j]
    rows, columns = fold.sum(x, over=j)[i], fold.sum(x, over=i)[j]
    cut = stages(pipeline(len=rows, out=columns))
    assert isinstance(cut, Staged)
    report = Composed(cut, tuple(Proof(plan, STAND_IN, ()) for plan in cut.plans), STAND_IN)
    wanted = {"len": [-1.0, 8.0], "out": [6.0, 1.0]}
    run_by_name(emit(report, "f"), wanted, tmp_path)


# Wrong calls of a pipeline whose names are given: what is said of each, a line each.
WRONG = """
import torch, f
{rows}, {scalar} = torch.ones(3, 5), 1.0
{table} = torch.ones(5, 4)
wrong = [
    ((torch.ones(3), {table}), {{}}),
    (({rows}, torch.ones(6, 4)), {{}}),
    (({rows}, None), {{}}),
    (({rows}.long(), {table}), {{}}),
    (({rows}, {table}.half()), {{}}),
    (({rows}, {table}), {{"{scalar}": "many"}}),
    (({rows}.clone().requires_grad_(), {table}), {{}}),
    ((torch.ones(2, 3, 5), torch.ones(3, 5, 4)), {{}}),
    ((torch.ones(3, 5), {table}), {{"out": {table}}}),
    ((torch.ones(5, 5), torch.ones(5, 4)), {{"out": "shared"}}),
]
for tensors, words in wrong:
    if words.get("out") == "shared":
        words = {{"out": tensors[1]}}
    try:
        f.f(*tensors, **({{"{scalar}": 1.0}} | words))
    except (TypeError, ValueError) as error:
        print(error)
    else:
        print("taken")
"""


def messages_of(folder: Path, rows: str, table: str, scalar: str, named: tuple[str, str, str]) -> list[str]:
    """What wrong calls are told, of a pipeline with these names."""
    i, j, e = axes(" ".join(named))
    s = Tensor(rows, i, j)[i, j] * Scalar(scalar)
    p = exp(s - fold.max(s, over=j))
    o = fold.sum(p * Tensor(table, j, e)[j, e], over=j) / fold.sum(p, over=j)
    kernel = emit(Proof(planned(pipeline(o=o[i, e])), STAND_IN, ()), "f")
    folder.mkdir()
    for file, text in kernel.code.items():
        (folder / file).write_text(text, encoding="utf-8")
    program = WRONG.format(rows=rows, table=table, scalar=scalar)
    command = [sys.executable, "-W", "ignore", "-c", program]
    env = os.environ | {"TRITON_INTERPRET": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


def test_messages_have_the_names_that_their_user_gave(tmp_path: Path) -> None:
    """Also of inputs, scalars and axes that the kernels have to call otherwise."""
    words = {"xray": "chunk", "yoke": "scale", "zeal": "batch", "ivory": "size", "jade": "tl", "echo": "group"}
    plain = messages_of(tmp_path / "plain", "xray", "yoke", "zeal", ("ivory", "jade", "echo"))
    named = messages_of(tmp_path / "named", "chunk", "scale", "batch", ("size", "tl", "group"))
    assert "taken" not in plain and len(plain) == 10 and len({*plain}) > 8
    for old, new in words.items():
        plain = [re.sub(rf"\b{old}\b", new, line) for line in plain]
    assert named == plain


@pytest.mark.slow
def test_words_are_proved() -> None:
    drawn = tuple(SETS[0].split())
    check(planned(written(drawn)), drawn[-1])


def test_what_a_kernel_makes_of_two_names_is_two_names() -> None:
    """The stride of `a_b` along `c` is not that of `a` along `b_c`, nor a workspace a tensor of the user's."""
    i, j, b, c = axes("i j b_c c")
    x, y, z = Tensor("a", i, b, j), Tensor("a_b", i, c, j), Tensor("part_m", j)
    s = x[i, b, j] * y[i, c, j] + z[j]
    p = exp(s - fold.max(s, over=j))
    check(planned(pipeline(o=(fold.sum(p * z[j], over=j) / fold.sum(p, over=j))[i, b, c])), "f")


def test_a_comparison_of_modules_can_fail() -> None:
    """Two tensors in each other's place are another kernel, and so is another number."""
    step, *rest = plain().module
    table = {"query_ptr": "keys_ptr", "keys_ptr": "query_ptr", "query": "keys", "keys": "query"}
    for body in (exchanged(step.body, table), exchanged(step.body, {-float("inf"): 0.0})):
        changed = replace(step, body=body)
        assert changed != step
        assert difference(plain().module, (changed, *rest)) is not None


def exchanged(node: Any, table: dict[Any, Any]) -> Any:
    """A node with other names and numbers in it."""
    match node:
        case ir.Name(text) if text in table:
            return replace(node, text=table[text])
        case ir.Number(value) if value in table:
            return ir.Number(table[value])
        case tuple():
            return tuple(exchanged(n, table) for n in node)
    if is_dataclass(node) and not isinstance(node, type):
        return replace(node, **{f.name: exchanged(getattr(node, f.name), table) for f in fields(node) if f.init})
    return node
