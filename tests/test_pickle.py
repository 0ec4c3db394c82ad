"""Specs, plans, proofs and kernels are values: what is pickled or copied is equal to what it was made from."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sympy as sp
from support.examples import FEW

from refold.algebra import Plan, Refusal, derive, stages
from refold.emit import emit
from refold.report.loading import catalogue, load
from refold.verify import Proof
from refold.verify.certificate import store

EXAMPLES = [path.stem for path in catalogue() if path.stem in FEW][::3]
COPIES: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}


def symbols(plan: Plan) -> list[sp.Symbol]:
    return sorted({s for o in plan.spec.outputs for s in o.expr.free_symbols}, key=str)


def check(value: Any) -> None:
    for name, make in COPIES.items():
        twin = make(value)
        assert twin == value and hash(twin) == hash(value) and type(twin) is type(value), name
        assert repr(twin) == repr(value)


@pytest.mark.parametrize("name", EXAMPLES)
def test_specs_and_plans(name: str) -> None:
    spec = load(name).value
    plan = stages(spec)
    assert not isinstance(plan, Refusal)
    check(spec)
    check(plan)
    twin = COPIES["pickle"](plan)
    assert [type(s) for s in symbols(twin)] == [type(s) for s in symbols(plan)]
    assert [t.name for t in twin.spec.tensors] == [t.name for t in spec.tensors]


@pytest.mark.parametrize("name", ["softmax", "layer_norm", "argmax"])
def test_proofs_and_kernels(name: str, tmp_path: Path) -> None:
    plan = derive(load(name).value)
    assert isinstance(plan, Plan)
    proof = store.verified(plan)
    assert isinstance(proof, Proof)
    kernel = emit(proof, "fused")
    check(proof)
    check(kernel)


def test_another_process_reads_a_proof(tmp_path: Path) -> None:
    plan = derive(load("logsumexp").value)
    assert isinstance(plan, Plan)
    proof = store.verified(plan)
    assert isinstance(proof, Proof)
    path = tmp_path / "proof.pickle"
    path.write_bytes(pickle.dumps(proof))
    code = "import pathlib, pickle, sys, refold\nproof = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())\n"
    code += "sys.stdout.write(refold.emit(proof, 'fused').source)"
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == emit(proof, "fused").source, done.stderr
