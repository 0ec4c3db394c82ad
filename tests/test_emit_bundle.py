"""The bundle: what `emit` takes, what it writes, that it stands alone, and what GPUs make of it."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from emit_cases import CASES, kernel_of, plan_of

from refold.emit import Kernel, emit
from refold.emit.targets import TARGETS, compile_for
from refold.errors import EmitError
from refold.verify import Proof, Result, recheck
from refold.verify.certificate import Certificate, Leaf, Script, joined_scripts


@pytest.mark.parametrize("thing", [plan_of("softmax"), None, "softmax"], ids=["plan", "none", "name"])
def test_only_a_proof_is_emitted(thing: Any) -> None:
    with pytest.raises(EmitError, match=r"emit takes a Proof, not a .*: pass what refold\.verify returns"):
        emit(thing)


@pytest.mark.parametrize("name", ["x", "lambda x", "_f", "tl", "j"])
def test_names_that_cannot_be(name: str) -> None:
    proof = Proof(plan_of("softmax"), (Result("stand-in", "", "proved", 0.0, ""),), ())
    with pytest.raises(EmitError, match="cannot be the name of the kernel: use an identifier"):
        emit(proof, name)


@pytest.mark.parametrize("name", CASES)
def test_the_file_imports_torch_and_triton_alone(name: str) -> None:
    found = set()
    for node in ast.walk(ast.parse(kernel_of(name).source)):
        if isinstance(node, ast.Import):
            found |= {a.name.split(".")[0] for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module or "").split(".")[0]}
    assert found == {"math", "torch", "triton"}


@pytest.mark.parametrize("name", CASES)
def test_emission_is_deterministic(name: str) -> None:
    first = kernel_of(name)
    kernel_of.cache_clear()
    again: Kernel = kernel_of(name)
    assert (first.source, first.test) == (again.source, again.test)
    compile(first.test, "test", "exec")


def test_what_is_written(tmp_path: Path) -> None:
    scripts = tuple(Script(f"(assert false)\n(check-sat)\n; {n}\n", (("z3", "unsat"),)) for n in range(2))
    proof = (Certificate(Leaf(claims=("false",), scripts=scripts)),)
    results = (
        Result("merge l: associative", "claim", "proved", 0.5, joined_scripts(proof), proof=proof),
        Result("other", "", "proved", 0.0, "", note="by inspection"),
    )
    kernel = emit(Proof(plan_of("softmax"), results, (("z3", "4"),)), "rows")
    paths = {str(p.relative_to(tmp_path)) for p in kernel.write(tmp_path)}
    assert paths == {
        "rows.py",
        "test_rows.py",
        "rows.proof.json",
        "recheck.py",
        "rows.smt2/00-merge-l-associative.smt2",
    }
    document = json.loads((tmp_path / "rows.proof.json").read_text())
    assert document["format"] == recheck.FORMAT
    assert recheck.recheck(document)["one solver"] == 2
    assert document["versions"] == {"z3": "4"}
    assert [o["name"] for o in document["obligations"]] == ["merge l: associative", "other"]
    assert (tmp_path / "rows.smt2/00-merge-l-associative.smt2").read_text().count("(reset)") == 1
    assert str(kernel).startswith("kernel rows: rows.py (")
    assert "```python" in kernel._repr_markdown_()


def test_compile_gives_a_function(tmp_path: Path) -> None:
    code = """
import torch
from refold.emit import compile
from emit_cases import CASES
f = compile(CASES["softmax"]())
x = torch.randn(2, 3, 5)
print(torch.allclose(f(x), x.softmax(-1), atol=1e-6))"""
    env = os.environ | {
        "TRITON_INTERPRET": "1",
        "XDG_CACHE_HOME": str(tmp_path),
        "PYTHONPATH": str(Path(__file__).parent),
    }
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, env=env)
    assert done.stdout == "True\n", done.stderr


@pytest.mark.parametrize("name", ["causal", "argmax"])
def test_compiles_for_gpus_that_are_not_here(name: str) -> None:
    found = compile_for(kernel_of(name), TARGETS, "bfloat16")
    assert {c.target for c in found} == set(TARGETS)
    assert len(found) == 3 * len(TARGETS)
    assert all(c.spills in (0, -1) for c in found)
    assert all(c.shared <= 65536 for c in found)


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
