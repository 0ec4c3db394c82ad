"""Keeps proofs, so that an unchanged plan is not proved again: under a hash of it, of the code and of the solvers."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import sympy as sp

from refold.algebra import Plan
from refold.verify import recheck
from refold.verify.document import document, proof_of
from refold.verify.result import Disproof, Proof
from refold.verify.verify import Progress, verify, versions

LAYERS = ("spec", "algebra", "verify")


def verified(plan: Plan, progress: Progress | None = None, timeout: float | None = None) -> Proof | Disproof:
    """The proof that was kept of this very plan, else what `verify` says of it, which is kept if it is a proof."""
    found = recall(plan)
    if found is not None:
        return found
    report = verify(plan, progress, timeout)
    if isinstance(report, Proof):
        keep(report)
    return report


def recall(plan: Plan) -> Proof | None:
    """The proof of this very plan that was kept, its certificates checked again; None where there is none."""
    try:
        found = json.loads(_path(plan).read_text(encoding="utf-8"))
        recheck.recheck(found)
    except (OSError, ValueError, recheck.Rejected):
        return None
    return proof_of(found, plan)


def keep(proof: Proof) -> None:
    """Keeps a proof of this run for the next time; a folder that cannot be written to is no reason to fail."""
    path = _path(proof.plan)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_text(document(proof, "kept"), encoding="utf-8")
        part.replace(path)
    except OSError:
        return


def folder() -> Path:
    """Where proofs and compiled kernels are kept: $REFOLD_CACHE, else `refold` in the user's cache."""
    given = os.environ.get("REFOLD_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "refold"


def _path(plan: Plan) -> Path:
    said = "\n".join([str(recheck.FORMAT), _code(), repr(versions()), *_words(plan, {})])
    return folder() / "proofs" / f"{hashlib.sha256(said.encode()).hexdigest()}.json"


@cache
def _code() -> str:
    """The hash of the code that a verdict rests on."""
    total = hashlib.sha256()
    root = Path(__file__).parents[1]
    for path in sorted(p for layer in LAYERS for p in (root / layer).glob("*.py")):
        total.update(path.name.encode() + path.read_bytes())
    return total.hexdigest()


def _words(value: Any, seen: dict[Any, int]) -> Iterator[str]:
    """Everything that a value is made of, in order; an expression that came before by its number."""
    if dataclasses.is_dataclass(value) and not isinstance(value, sp.Basic):
        yield f"({type(value).__name__}"
        for field in dataclasses.fields(value):
            yield from _words(getattr(value, field.name), seen)
        yield ")"
    elif isinstance(value, tuple | list):
        yield "["
        for part in value:
            yield from _words(part, seen)
        yield "]"
    elif isinstance(value, sp.Basic):
        if value in seen:
            yield f"#{seen[value]}"
            return
        seen[value] = len(seen)
        yield f"({type(value).__name__}"
        if value.args:
            for arg in value.args:
                yield from _words(arg, seen)
        else:
            yield repr(value._hashable_content()) if isinstance(value, sp.Symbol) else sp.srepr(value)
        yield ")"
    else:
        yield repr(value)
