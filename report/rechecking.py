"""`refold recheck`: the checker of proof files, run from its own file so that nothing else of refold is loaded."""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.markup import escape

from refold.errors import UsageError
from refold.report import pretty
from refold.report.lean import lean_text

CHECKER = Path(__file__).parents[1] / "verify" / "recheck.py"


def recheck(path: Path, lean: Path | None = None) -> int:
    """Prints what holds of a proof file; 0 if all of it does, 1 at the first thing that does not."""
    proof = read(path)
    try:
        tally = checker().recheck(proof)
    except checker().Rejected as error:
        pretty.put(f"[bold red]rejected[/] {escape(str(path))}: {escape(str(error))}")
        return 1
    pretty.put(*report(proof, tally))
    if lean is not None:
        try:
            lean.write_text(lean_text(proof), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{lean}: cannot be written: {error.strerror}: give another file with --lean") from None
        pretty.put(f"wrote {escape(str(lean))}: every equation with its cofactors, for Lean 4 with Mathlib")
    return 0


def read(path: Path) -> dict[str, Any]:
    """A proof file as data. Raises `UsageError` for what is none."""
    try:
        proof = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}: give NAME.proof.json of a bundle") from None
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}: give NAME.proof.json of a bundle") from None
    if not isinstance(proof, dict) or "obligations" not in proof:
        raise UsageError(f"{path} is no proof file: give NAME.proof.json, as 'refold emit SPEC -o DIR' writes it")
    return proof


@cache
def checker() -> ModuleType:
    """The module of the checker, apart from the package around it."""
    found = importlib.util.spec_from_file_location("refold_recheck", CHECKER)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def report(proof: dict[str, Any], tally: Any) -> list[str]:
    """What was checked, what rests on solvers, and what on neither, line by line."""
    bare = [o for o in proof["obligations"] if not o["proof"]]
    lines = [
        f"[bold green]holds[/] {escape(proof['name'])}: {tally['obligations']} obligations, {tally['cases']} cases",
        f"  {tally['equations']:4} equations, each multiplied out here from its cofactors",
        f"  {tally['two solvers']:4} cases closed by Z3 and cvc5 both; their scripts are in the file",
    ]
    if tally["same"]:
        lines.append(f"  {tally['same']:4} cases with nothing to prove: both sides are one expression")
    if tally["one solver"]:
        lines.append(f"  {tally['one solver']:4} cases closed by Z3 alone: cvc5 gave up on them")
    lines += [f"  no certificate: {escape(o['name'])} ({escape(o['note'])})" for o in bare]
    return lines
