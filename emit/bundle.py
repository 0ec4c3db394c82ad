"""A kernel with its test and its proof: made from a proof alone, written to a folder, or compiled in place."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refold.algebra import Refusal, derive
from refold.emit.gluon import gluon_kernel
from refold.emit.kernels import kernels
from refold.emit.launcher import module_text
from refold.emit.prooftest import test_text
from refold.emit.source import RESERVED
from refold.errors import EmitError
from refold.spec import Spec
from refold.verify import Proof, recheck, store
from refold.verify.document import document


@dataclass(frozen=True, slots=True)
class Kernel:
    """NAME.py (kernels, launcher, eager reference), test_NAME.py and NAME.proof.json, as texts."""

    name: str
    proof: Proof
    source: str
    test: str
    document: str

    def write(self, folder: str | Path) -> tuple[Path, ...]:
        """Writes the bundle, with the checker of the proof and its SMT-LIB texts in NAME.smt2/; returns the paths."""
        root = Path(folder)
        files = {
            f"{self.name}.py": self.source,
            f"test_{self.name}.py": self.test,
            f"{self.name}.proof.json": self.document,
            "recheck.py": Path(recheck.__file__).read_text(encoding="utf-8"),
        }
        for n, result in enumerate(self.proof.results):
            if result.smt2:
                slug = re.sub(r"[^A-Za-z0-9]+", "-", result.name).strip("-")
                files[f"{self.name}.smt2/{n:02}-{slug}.smt2"] = result.smt2
        paths = []
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            paths.append(path)
        return tuple(paths)

    def __str__(self) -> str:
        lines = len(self.source.splitlines())
        return (f"kernel {self.name}: {self.name}.py ({lines} lines), test_{self.name}.py, {self.name}.proof.json "
                f"({len(self.proof.results)} obligations, all proved)")  # fmt: skip

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        return f"**{self}**\n\n```python\n{self.source}\n```"


def emit(proof: Proof, name: str = "fused") -> Kernel:
    """The bundle of a proved plan. Raises `EmitError` for anything but a proof, or a pipeline of no known kernel."""
    if not isinstance(proof, Proof):
        raise EmitError(
            f"emit takes a Proof, not a {type(proof).__name__}: pass what refold.verify returns when all is proved"
        )
    spec = proof.plan.spec
    words = {t.name for t in spec.tensors} | {p.name for p in spec.params} | {a.name for a in spec.axes} | RESERVED
    if not name.isidentifier() or name.startswith("_") or name in words:
        raise EmitError(
            f"{name!r} cannot be the name of the kernel: use an identifier that nothing in the pipeline has "
            "(on the command line that is the name of the file: rename it, or what is called so in the pipeline)"
        )
    made = kernels(proof.plan, name)
    ring = gluon_kernel(made, name)
    source, test = module_text(proof.plan, name, made, ring), test_text(name, made, hopper=ring is not None)
    return Kernel(name, proof, source, test, document(proof, name))


def compile(pipeline: Spec | Proof, name: str = "fused") -> Callable[..., Any]:
    """A function on torch tensors: derives, verifies and emits, then imports what was emitted.

    Raises `EmitError` where the pipeline has no fused form or where an obligation is not proved.
    """
    if isinstance(pipeline, Spec):
        from refold.verify import verify

        plan = derive(pipeline)
        if isinstance(plan, Refusal):
            raise EmitError(f"{plan}\nno kernel: change the pipeline as the line above says")
        checked = verify(plan)
        if not isinstance(checked, Proof):
            raise EmitError(f"{checked}\nno kernel: every obligation has to be proved; look at those that are not")
        pipeline = checked
    kernel = emit(pipeline, name)
    key = hashlib.sha256(kernel.source.encode()).hexdigest()[:16]
    folder = _cache() / key
    path = folder / f"{name}.py"
    if not path.exists() or path.read_text(encoding="utf-8") != kernel.source:
        kernel.write(folder)
    found = importlib.util.spec_from_file_location(f"refold_{name}_{key}", path)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module  # where torch.compile looks for it
    found.loader.exec_module(module)
    return getattr(module, name)


def _cache() -> Path:
    """Where compiled kernels live: Triton reads a kernel's source from its file."""
    root = store.folder()
    try:
        root.mkdir(parents=True, exist_ok=True)
        if os.access(root, os.W_OK):
            return root
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="refold-"))
