"""The bundle: what `emit` takes, what it writes, that it stands alone, and what GPUs make of it."""

import ast
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from emit_cases import CASES, kernel_of, plan_of

from refold import Plan, axes, derive, exp, fold, pipeline
from refold.emit import Kernel, emit
from refold.emit.targets import TARGETS, compile_for
from refold.errors import EmitError, UsageError
from refold.report.bundle import write_bundle
from refold.verify import Proof, Result
from refold.verify.certificate import recheck
from refold.verify.certificate.certificate import Certificate, Leaf, Script, joined_scripts


@pytest.mark.parametrize("thing", [plan_of("softmax"), None, "softmax"], ids=["plan", "none", "name"])
def test_only_a_proof_is_emitted(thing: Any) -> None:
    with pytest.raises(EmitError, match=r"emit takes a Proof, not a .*: pass what refold\.verify returns"):
        emit(thing)


def test_a_pipeline_without_tensors_has_no_kernel() -> None:
    (j,) = axes("j")
    plan = derive(pipeline(t=fold.sum(exp(-j), over=j)))
    assert isinstance(plan, Plan)
    with pytest.raises(EmitError, match=r"f reads no tensor, .*: give the pipeline a Tensor"):
        emit(Proof(plan, (Result("stand-in", "", "proved", 0.0, ""),), ()), "f")


@pytest.mark.parametrize("name", ["lambda x", "_f", "3d", ""])
def test_names_that_cannot_be(name: str) -> None:
    proof = Proof(plan_of("softmax"), (Result("stand-in", "", "proved", 0.0, ""),), ())
    with pytest.raises(EmitError, match="cannot be the name of the kernel: use an identifier"):
        emit(proof, name)


@pytest.mark.parametrize("name", CASES)
def test_the_file_imports_the_standard_library_torch_and_triton_alone(name: str) -> None:
    found = set()
    for node in ast.walk(ast.parse(kernel_of(name).source)):
        if isinstance(node, ast.Import):
            found |= {a.name.split(".")[0] for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module or "").split(".")[0]}
    assert found == {"hashlib", "importlib", "math", "pathlib", "sys", "types", "torch", "triton"}


@pytest.mark.parametrize("name", CASES)
def test_emission_is_deterministic(name: str) -> None:
    first = kernel_of(name)
    kernel_of.cache_clear()
    again: Kernel = kernel_of(name)
    assert (first.source, first.test) == (again.source, again.test)
    compile(first.test, "test", "exec")


def test_what_is_written(tmp_path: Path) -> None:
    facts = [("x < 0", "x > 1"), ("x < 0", "x > 2")]
    texts = [recheck.script(list(pair), [], "Real") for pair in facts]
    scripts = tuple(Script(text, (("z3", "unsat"),), pair) for text, pair in zip(texts, facts, strict=True))
    proof = (Certificate(Leaf(given=("x < 0", "x > 1", "x > 2"), scripts=scripts)),)
    results = (
        Result("merge l: associative", "claim", "proved", 0.5, joined_scripts(proof), proof=proof),
        Result("other", "", "proved", 0.0, "", note="by inspection"),
    )
    kernel = emit(Proof(plan_of("softmax"), results, (("z3", "4"),)), "rows")
    paths = {str(p.relative_to(tmp_path)) for p in kernel.write(tmp_path)}
    assert paths == {
        "rows.py",
        "refold_runtime.py",
        "test_rows.py",
        "rows.proof.json",
        "recheck.py",
        "rows.smt2/00-merge-l-associative.smt2",
    }
    document = json.loads((tmp_path / "rows.proof.json").read_text())
    assert document["format"] == recheck.FORMAT
    with pytest.raises(recheck.Rejected, match="obligations that the program demands are missing"):
        recheck.recheck(document)
    tally: Counter[str] = Counter()
    recheck.check_case(document["obligations"][0]["proof"][0]["case"], [], "Real", document["answers"], tally)
    assert tally["one solver"] == 2
    assert document["versions"] == {"z3": "4"}
    assert [o["name"] for o in document["obligations"]] == ["merge l: associative", "other"]
    assert (tmp_path / "rows.smt2/00-merge-l-associative.smt2").read_text().count("(reset)") == 1
    assert str(kernel).startswith("kernel rows: rows.py (")
    assert "```python" in kernel._repr_markdown_()


@pytest.mark.parametrize("before", [False, True], ids=["a new folder", "over a bundle"])
def test_what_fails_midway_leaves_no_half_of_a_bundle(
    before: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel, folder = kernel_of("softmax"), tmp_path / "new"
    if before:
        kernel_of("argmax").write(folder)
    kept = {p: p.read_text() for p in folder.rglob("*") if p.is_file()}
    write, full = Path.write_text, iter(range(3))

    def until_full(path: Path, *args: Any, **options: Any) -> int:
        if next(full, None) is None:
            write(path, "half", encoding="utf-8")
            raise OSError(28, "No space left on device", str(path))
        return write(path, *args, **options)

    monkeypatch.setattr(Path, "write_text", until_full)
    with pytest.raises(UsageError, match="cannot be written: No space left on device: give another folder"):
        write_bundle(kernel, folder)
    assert {p: p.read_text() for p in folder.rglob("*") if p.is_file()} == kept
    assert folder.exists() == before


def test_compile_gives_a_function(tmp_path: Path) -> None:
    code = """
import torch
from refold.emit import compile
from refold.examples.logsumexp import SPEC
f = compile(SPEC)
x = torch.randn(2, 3, 5)
print(torch.allclose(f(x), x.logsumexp(-1), atol=1e-6))"""
    env = os.environ | {"TRITON_INTERPRET": "1", "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, env=env)
    assert done.stdout == "True\n", done.stderr


@pytest.mark.parametrize("name", ["causal", "argmax"])
def test_compiles_for_gpus_that_are_not_here(name: str) -> None:
    found = compile_for(kernel_of(name), TARGETS, "bfloat16")
    assert {c.target for c in found} == set(TARGETS)
    assert len(found) == 3 * len(TARGETS)
    assert all(c.spills in (0, -1) for c in found)
    assert all(c.shared <= 65536 for c in found)


WIDE = ("masked_table", "scores_on_both_sides", "masked_total", "two_anchors", "rounded", "argmax", "cross_entropy",
        "powers", "alternating", "strided_heads", "documents", "window")  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", WIDE)
def test_compiles_with_indices_of_64_bits(name: str) -> None:
    """Triton's interpreter takes values of other types from one turn of a loop to the next; its compiler does not."""
    assert len(compile_for(kernel_of(name), ("cuda:90",), "float32", index="int64")) == 3


def test_emission_is_the_same_in_another_process() -> None:
    # In which sets have another order: kl guards two anchors at once.
    program = (
        "import importlib; from refold import derive, emit; from refold.verify import Proof, Result;"
        "plan = derive(importlib.import_module('refold.examples.kl').SPEC);"
        "print(emit(Proof(plan, (Result('stand-in', '', 'proved', 0.0, ''),), ()), 'kl').source, end='')"
    )
    texts = [
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2", "3", "4")
    ]  # fmt: skip
    assert len(texts[0]) > 1000 and len(set(texts)) == 1


def test_what_has_no_kernel_is_said_before_it_is_proved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from refold import compile
    from refold.report import steps
    from refold.verify.certificate import store

    def prove(*_: Any) -> Any:
        raise AssertionError("a proof was asked for")

    monkeypatch.setattr(store, "verified", prove)
    none = """
from refold import Scalar, axes, exp, fold, pipeline
i, j = axes("i j")
SPEC = pipeline(o=fold.sum(exp(-Scalar("rate", positive=True) * j), over=j))
"""
    path = tmp_path / "none.py"
    path.write_text(none)
    scope: dict[str, Any] = {}
    exec(none, scope)
    with pytest.raises(EmitError, match="reads no tensor"):
        compile(scope["SPEC"])
    for step in (steps.emit, steps.build):
        with pytest.raises(UsageError, match=r"none\.py:\d+: .*reads no tensor"):
            step(str(path), tmp_path / "out", *(["pretty"] if step is steps.build else []))
