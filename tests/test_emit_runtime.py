"""How a kernel file finds its runtime, wherever it is loaded from, and what is said where it is another one."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from emit_cases import emitted, kernel_of, plan_of

from refold import emit
from refold.emit import Kernel, runtime
from refold.verify import Proof, Result

KERNELS = ("attention", "logsumexp", "layer_norm")


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """No module that a test loads is found by another one, and none that was loaded before is found here."""
    loaded = {n: m for n, m in sys.modules.items() if n.startswith("refold_runtime_") or "_hopper_" in n}
    for name in loaded:
        del sys.modules[name]
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if "refold_runtime" in name or "_hopper_" in name or "k_logsumexp" in name:
            del sys.modules[name]
    sys.modules |= loaded


def located(folder: Path, name: str = "k_logsumexp") -> ModuleType:
    found = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def written(folder: Path, change: str = "") -> Path:
    """A bundle, of a runtime with more text if asked for."""
    kernel = kernel_of("logsumexp")
    folder.mkdir()
    kernel.write(folder)
    if change:
        path, changed = folder / "k_logsumexp.py", kernel.runtime + change
        (folder / runtime.FILE).write_text(changed)
        was, now = (runtime.content(text) for text in (kernel.runtime, changed))
        path.write_text(path.read_text().replace(was, now))
    return folder


def single(name: str) -> Kernel:
    return emit(Proof(plan_of(name), (Result("stand-in", "", "proved", 0.0, ""),), ()), f"k_{name}", single_file=True)


def test_two_bundles_share_a_runtime_and_never_one_of_another_text(tmp_path: Path) -> None:
    one, two, other = (written(tmp_path / n, text) for n, text in (("a", ""), ("b", ""), ("c", "\nNEWER = True\n")))
    assert located(one).rt is located(two).rt
    newer = located(other)
    assert newer.rt is not located(one).rt
    assert newer.rt.NEWER and not hasattr(located(one).rt, "NEWER")
    # The operators are two as well.
    assert newer._OPERATOR != located(one)._OPERATOR == located(two)._OPERATOR


def test_a_kernel_file_of_a_folder_and_of_a_package_finds_its_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "plain")
    (written(tmp_path / "kernels_of_a_project", "\nNEWER = True\n") / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "plain")
    monkeypatch.syspath_prepend(tmp_path)
    plain = importlib.import_module("k_logsumexp")
    inside = importlib.import_module("kernels_of_a_project.k_logsumexp")
    assert inside.rt.NEWER and not hasattr(plain.rt, "NEWER")


def test_a_runtime_that_is_missing_or_another_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    path = folder / runtime.FILE
    path.write_text(path.read_text() + "\n")
    with pytest.raises(ImportError, match=r"refold_runtime\.py is not the one that k_logsumexp\.py was emitted with: "):
        located(folder)
    path.unlink()
    with pytest.raises(
        ImportError, match=r"refold_runtime\.py is missing: copy it from the folder that k_logsumexp\.py"
    ):
        located(folder)


@pytest.mark.parametrize("change", ["another", "missing"])
def test_a_kernel_for_hopper_that_is_missing_or_another_is_refused(change: str, tmp_path: Path) -> None:
    kernel = kernel_of("attention")
    kernel.write(tmp_path)
    path = tmp_path / "k_attention_hopper.py"
    assert path.read_text() == kernel.hopper and kernel.source.count(runtime.content(kernel.hopper)) == 1
    if change == "another":
        path.write_text(kernel.hopper.replace("work % tiles", "work // tiles"))
    else:
        path.unlink()
    what = {"another": "is not the one that k_attention.py was emitted with", "missing": "is missing: copy it"}
    with pytest.raises(ImportError, match=rf"k_attention_hopper\.py {what[change]}"):
        located(tmp_path, "k_attention")


@pytest.mark.parametrize("name", KERNELS)
def test_a_single_file_holds_its_runtime(name: str, tmp_path: Path) -> None:
    kernel = single(name)
    assert list(kernel.code) == [f"k_{name}.py"] and "refold_runtime.py" not in kernel.test
    # A name that is defined twice would change the runtime for itself.
    tree = ast.parse(kernel.source)
    defined = Counter(n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef))
    defined += Counter(n.id for node in tree.body if isinstance(node, ast.Assign)
                       for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name))  # fmt: skip
    assert not [n for n, count in defined.items() if count > 1]
    # The kernels are those of the file that has its runtime beside it.
    assert kernel.source.count("@triton.jit") == kernel_of(name).source.count("@triton.jit") + len(runtime.helpers())
    kernel.write(tmp_path)
    assert not (tmp_path / runtime.FILE).exists()
    module = located(tmp_path, f"k_{name}")
    assert module.rt.sizes is module.sizes and module.TABLES.name == f"k_{name}"


def test_a_single_file_is_called_by_no_name_of_the_runtime() -> None:
    proof = Proof(plan_of("logsumexp"), (Result("stand-in", "", "proved", 0.0, ""),), ())
    assert emit(proof, "strides", single_file=True).name == "strides_kernel"
    assert emit(proof, "strides").name == "strides"


def test_the_text_of_tests_is_the_test_of_an_example() -> None:
    from refold import Plan, derive
    from refold.examples.logsumexp import SPEC

    plan = derive(SPEC)
    assert isinstance(plan, Plan)
    kernel = emit(Proof(plan, (Result("stand-in", "", "proved", 0.0, ""),), ()), "logsumexp")
    assert kernel.test == runtime.template()


def test_a_constant_of_bfloat16_is_interpreted_where_triton_has_none(tmp_path: Path) -> None:
    """As in Triton 3.6: what an index out of range reads is NaN, at which a kernel of bfloat16 failed."""
    emitted(plan_of("cross_entropy"), "k").write(tmp_path)
    code = """
import torch
from triton.runtime.interpreter import InterpreterBuilder
if hasattr(InterpreterBuilder, "get_bf16"):
    del InterpreterBuilder.get_bf16
from k import k
x, t = torch.tensor([[1.0, 3.0], [2.0, 0.5]], dtype=torch.bfloat16), torch.tensor([1, 7])
print(k(x, t, ignore=-100).tolist())"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    env = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    right, none = json.loads(done.stdout.replace("nan", "NaN"))
    assert right == pytest.approx(math.log(1 + math.exp(-2)), rel=0.02) and math.isnan(none)
