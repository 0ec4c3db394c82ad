"""Kernels as functions: what `compile` and `load` give, and that a kept proof is not made again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import refold
from refold.emit import compile, emit, load
from refold.errors import UsageError
from refold.examples.logsumexp import SPEC
from refold.verify import Disproof, Proof, Record, verify
from refold.verify.certificate import store

# A first process proves, emits and writes; in the second nothing may be proved, and little is left to do.
CODE = """import sys, torch
from collections import Counter
import refold
from refold.examples.logsumexp import SPEC
if sys.argv[1] == "second":
    from refold.verify.certificate import store
    def verify(*_):
        raise AssertionError("proved again")
    store.verify = verify
    from refold.verify.smt import solver
    solver._Search = verify
from refold.emit import bundle
import z3
calls = Counter()
def counted(module, name):
    function = getattr(module, name)
    def call(*args, **kwargs):
        calls[name] += 1
        return function(*args, **kwargs)
    setattr(module, name, call)
for name in ("kernels", "test_text", "document"):
    counted(bundle, name)
counted(z3, "Context")
f = refold.compile(SPEC, "lse")
if sys.argv[1] == "second":
    # Lowered once, and no text made but those that are loaded. Nothing is asked or compared of a proof of one's own.
    assert calls == {"kernels": 1}, calls
x = torch.randn(2, 5)
assert torch.allclose(f(x), x.logsumexp(-1), atol=1e-5)
assert f.path.read_text() == f.source and "def lse(" in f.source
assert f.proof.verdict == "proved" and f.proof.kept == (sys.argv[1] == "second")
refold.emit(f.proof, "lse").write("bundle")
g = refold.load("bundle")
# Of what is compiled the header says that it ran once, and of what emit makes that it has not.
ran, plain = (next(x for x in h.source.splitlines() if x.startswith("It ")) for h in (f, g))
assert ran.startswith("It ran once in Triton's interpreter, at |") and plain == "It has not been run yet."
assert g.source.replace(plain, ran) == f.source and g.path.name == "lse.py" and torch.equal(g(x), f(x))
assert isinstance(g.proof, refold.Record) and [r.name for r in g.proof.results] == [r.name for r in f.proof.results]
print("done")
"""


def test_a_second_process_proves_nothing_again_and_lowers_once(tmp_path: Path) -> None:
    env = {**os.environ, "TRITON_INTERPRET": "1", "REFOLD_CACHE": str(tmp_path / "cache")}
    for which in ("first", "second"):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", CODE, which], cwd=tmp_path, env=env, capture_output=True, text=True
        )
        assert done.stdout == "done\n", done.stderr


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    plan = refold.derive(SPEC)
    assert isinstance(plan, refold.Plan)
    proof = store.verified(plan)
    assert isinstance(proof, Proof)
    emit(proof, "lse").write(tmp_path / "bundle")
    return tmp_path / "bundle"


def test_a_folder_that_holds_no_bundle_or_several(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no bundle: give a folder that 'refold emit' wrote"):
        load(tmp_path)
    with pytest.raises(UsageError, match="holds no bundle other: give a folder"):
        load(bundle, "other")
    (bundle / "b.proof.json").write_text("{}")
    with pytest.raises(UsageError, match=r"holds the bundles b, lse: name one, as in load\(folder, 'b'\)"):
        load(bundle)
    (bundle / "lse.py").unlink()
    with pytest.raises(UsageError, match="holds no bundle lse"):
        load(bundle, "lse")


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"obligations": []}'])
def test_a_bundle_whose_proof_does_not_hold_is_not_loaded(text: str, bundle: Path) -> None:
    (bundle / "lse.proof.json").write_text(text)
    with pytest.raises(UsageError, match=r"the proof does not hold: .*: emit the bundle again"):
        load(bundle)


def test_a_bundle_with_another_runtime_is_not_loaded(bundle: Path) -> None:
    runtime = bundle / "refold_runtime.py"
    runtime.write_text(runtime.read_text() + "\n")
    with pytest.raises(UsageError, match="the proof does not hold: the runtime is not the one that it is of: emit the"):
        load(bundle)
    runtime.unlink()
    with pytest.raises(UsageError, match="the runtime is not the one that it is of"):
        load(bundle)


def test_a_proof_of_less_is_noticed(bundle: Path) -> None:
    path = bundle / "lse.proof.json"
    found = json.loads(path.read_text())
    path.write_text(json.dumps({**found, "name": "other"}))
    with pytest.raises(UsageError, match="the file is not the one that its key was made from"):
        load(bundle)


def test_verify_takes_a_claim() -> None:
    def step(a, c):  # type: ignore[no-untyped-def]
        m = refold.maximum(a.m, c.x)
        return {"m": m, "l": a.l + refold.exp(c.x - m)}

    def finish(a):  # type: ignore[no-untyped-def]
        return a.m + refold.log(a.l)

    claim = refold.claim(SPEC, init={"m": -refold.oo, "l": 0}, step=step, finish=finish)
    assert isinstance(claim, refold.Claim)
    report = refold.verify(claim)
    assert isinstance(report, refold.Checked) and report.verdict == "refuted"


def test_what_derive_and_verify_give_is_public() -> None:
    from refold.algebra import Refusal

    assert refold.Refusal is Refusal and refold.Disproof is Disproof and refold.Record is Record
    assert verify is refold.verify and compile is refold.compile
