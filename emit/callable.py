"""Kernels as functions: one that is compiled from a pipeline, and one that is read back from its bundle."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from refold.algebra import Plan, Refusal, Staged, gradient, stages
from refold.emit import runtime
from refold.emit.bundle import emit_plan, need_kernel
from refold.emit.hopper import file_name
from refold.emit.launcher import UNTRIED
from refold.emit.staged import StagedKernel, emit_stages, need_stages
from refold.emit.trainable import TrainableKernel, emit_trainable, need_pieces
from refold.emit.trial import RAN, tried
from refold.errors import EmitError, UsageError
from refold.needs import KERNELS, need
from refold.spec import Spec
from refold.verify import Claim, Disproof, Proof, Record, verify_claim
from refold.verify.certificate import recheck, store
from refold.verify.certificate.document import record_of
from refold.verify.claim.plan import plan_of
from refold.verify.differentiated import Differentiated, part_of, verify_gradient
from refold.verify.staged import Composed, verify_stages

END = ".proof.json"


class Operator(Protocol):
    """A kernel as a function on torch tensors: the pipeline's tensors by position, its scalars by name.

    `source` is the text of its file, `path` the file, `proof` what was proved of it: a `Proof`, or the `Record` that a
    bundle holds of one.
    """

    source: str
    path: Path
    proof: Proof | Record | Composed | Differentiated

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...


def compile(
    pipeline: Spec | Claim | Proof, name: str = "fused", *, backward: bool = False, wrt: Sequence[str] | None = None
) -> Operator:
    """A function on torch tensors: derives, verifies and emits, then imports what was emitted.

    With `backward` autograd goes through it: its gradients by the inputs named in `wrt`, or by every floating tensor,
    are kernels too. A pipeline of which the gradient is asked for is a Spec.

    Of a claimed form it is that form which is emitted, once it is proved as a claim, each time anew, and as a plan.
    A proof of an earlier run is rechecked and not made again. The kernel runs once, small and interpreted, before it is
    handed out for the first time. Raises `EmitError` where the pipeline has no fused form
    or where an obligation is not proved, and `UsageError` where torch or triton is missing.
    """
    need("refold.compile", *KERNELS)
    if backward or wrt is not None:
        return _compiled_gradients(pipeline, name, wrt)
    if isinstance(pipeline, Spec | Claim):
        plan = stages(pipeline) if isinstance(pipeline, Spec) else _claimed(pipeline)
        if isinstance(plan, Staged):
            return _compiled_stages(plan, name)
        if isinstance(plan, Refusal):
            raise EmitError(f"{plan}\nno kernel: change the pipeline as the line above says")
        checked: Proof | Disproof | None = store.recall(plan)
        if checked is None:
            need_kernel(plan, name)
            checked = store.verified(plan)
        if not isinstance(checked, Proof):
            raise EmitError(f"{checked}\nno kernel: every obligation has to be proved; look at those that are not")
        pipeline = checked
    kernel = emit_plan(pipeline, name)
    path = _cache() / _key(kernel.source) / f"{kernel.name}.py"
    if any(_untried(path.with_name(file)) != text for file, text in kernel.code.items()):
        kernel = tried(kernel)
        kernel.write(path.parent)
    return _function(path, kernel.name, path.read_text(encoding="utf-8"), pipeline)


def _compiled_stages(staged: Staged, name: str) -> Operator:
    """The function that calls the kernels of stages, one after the other."""
    need_stages(staged.plans, name)
    checked = verify_stages(staged, prove=store.verified)
    if checked.verdict != "proved":
        raise EmitError(f"{checked}\nno kernel: every obligation has to be proved; look at those that are not")
    return _imported(emit_stages(checked, name))


def _compiled_gradients(pipeline: Spec | Claim | Proof, name: str, wrt: Sequence[str] | None) -> Operator:
    """The function that autograd goes through."""
    if not isinstance(pipeline, Spec):
        raise UsageError(f"a {type(pipeline).__name__} has no gradient: give refold.compile the Spec itself")
    found = gradient(pipeline, wrt)
    need_pieces(found, name)
    checked = verify_gradient(found, prove=store.verified)
    plain = part_of(pipeline, prove=store.verified).report if found.saved else None
    for report in (checked, plain):
        if report is not None and report.verdict != "proved":
            raise EmitError(f"{report}\nno kernel: every obligation has to be proved; look at those that are not")
    assert plain is None or isinstance(plain, Proof | Composed)
    return _imported(emit_trainable(checked, name, plain))


def _imported(kernel: StagedKernel | TrainableKernel) -> Operator:
    """The function of a file that calls others, which are written and have run."""
    path = _cache() / _key(kernel.source) / f"{kernel.name}.py"
    parts = {path.with_name(file): text for one in kernel.kernels for file, text in one.code.items()}
    if not path.exists() or any(_untried(file) != text for file, text in parts.items()):
        kernel.tried().write(path.parent)
    return _function(path, kernel.name, path.read_text(encoding="utf-8"), kernel.proof)


def _claimed(form: Claim) -> Plan:
    """The plan of a claimed form that is proved."""
    checked = verify_claim(form)
    if checked.verdict != "proved":
        raise EmitError(f"{checked}\nno kernel: every obligation has to be proved; look at those that are not")
    return plan_of(form)


def _untried(path: Path) -> str:
    """The text of a file, and of a kernel that has run once as it was before; nothing where there is no file."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return re.sub(rf"^{re.escape(RAN)}, .*$", UNTRIED, text, count=1, flags=re.MULTILINE)


def load(folder: str | Path, name: str | None = None) -> Operator:
    """The function of a bundle that `refold emit` or `Kernel.write` wrote, after a check of its proof file.

    `name` says which, where a folder holds several. Raises `UsageError` where there is no bundle or its proof file
    does not hold, and where torch or triton is missing.
    """
    need("refold.load", *KERNELS)
    root = Path(folder)
    names = sorted(path.name.removesuffix(END) for path in root.glob(f"*{END}"))
    if name is None and len(names) > 1:
        raise UsageError(f"{root} holds the bundles {', '.join(names)}: name one, as in load(folder, {names[0]!r})")
    wanted = name or next(iter(names), None)
    if wanted is None or wanted not in names or not (root / f"{wanted}.py").is_file():
        raise UsageError(f"{root} holds no bundle{f' {name}' if name else ''}: give a folder that 'refold emit' wrote")
    proof = root / f"{wanted}{END}"
    path = root / f"{wanted}.py"
    files = {"kernel": path, "hopper": root / file_name(wanted), "runtime": root / runtime.FILE}
    try:
        texts = {what: file.read_bytes().decode() if file.is_file() else "" for what, file in files.items()}
        record = record_of(json.loads(proof.read_text(encoding="utf-8")), texts)
    except (OSError, ValueError, RecursionError, recheck.Rejected) as error:
        raise UsageError(f"{proof}: the proof does not hold: {error}: emit the bundle again") from None
    return _function(path, wanted, texts["kernel"], record)


def _function(path: Path, name: str, source: str, proof: Proof | Record | Composed | Differentiated) -> Operator:
    """The launcher of a kernel file, imported as a module of its own."""
    found = importlib.util.spec_from_file_location(f"refold_{name}_{_key(source)}", path)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module  # where torch.compile looks for it
    found.loader.exec_module(module)
    function = cast(Operator, getattr(module, name))
    function.source, function.path, function.proof = source, path, proof
    return function


def _key(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:16]


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
