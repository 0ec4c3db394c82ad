"""The proof file: what was claimed of which spec and plan, by which versions, with the certificates of every answer.

It holds no times and nothing of the machine, so that the same proof is the same file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from refold.algebra import Plan
from refold.verify.certificate import recheck
from refold.verify.certificate.certificate import Certificate, from_json, joined_scripts, scripts, to_json
from refold.verify.certificate.words import fingerprint
from refold.verify.kernel.emitted import kernels_of
from refold.verify.kernel.refinement import obligations_of
from refold.verify.result import Proof, Record, Result
from refold.verify.rounding.bounds import HOLDS, bounds


def document(proof: Proof, name: str, texts: Mapping[str, str] = MappingProxyType({})) -> str:
    """The text of NAME.proof.json; `texts` are those of which it is the proof: the kernel, and what it loads."""
    return seal(contents(proof, name, texts))


def contents(proof: Proof, name: str, texts: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    """A proof as data, without its key."""
    return {
        "format": recheck.FORMAT,
        "name": name,
        "hashes": {"spec": fingerprint(proof.plan.spec), **{n: text_hash(text) for n, text in texts.items() if text}},
        **of_plan(proof.plan),
        "versions": dict(proof.versions),
        **of_results(proof.results),
    }


def of_plan(plan: Plan) -> dict[str, Any]:
    """What stands in a proof file for its plan alone, whatever was shown of it."""
    return {"spec": str(plan.spec), "plan": str(plan), "program": program(plan), "rounding": _rounding(plan)}


def of_results(results: tuple[Result, ...]) -> dict[str, Any]:
    """What stands in a proof file for what was shown."""
    everything = [c for r in results for c in r.proof]
    return {
        "obligations": [_obligation(r) for r in results],
        "answers": {s.name: dict(s.answers) for s in scripts(everything)},
    }


def text_hash(text: str) -> str:
    """The hash of a file's text, as `sha256sum` has it."""
    return hashlib.sha256(text.encode()).hexdigest()


def program(plan: Plan) -> dict[str, Any]:
    """The shape of a plan, from which the checker knows what has to be proved of it."""
    kernels = kernels_of(plan)
    executed = [*obligations_of(kernels)] if kernels is not None else []
    outputs = [f.name for f in plan.finish]
    loads = dict.fromkeys(t.name for t in plan.tensors)
    kinds, alone = ("visit", "skipped", "unmasked", "loops"), ("parts", "merge", "grid", "overflow")
    index = [*(f"{what}: {how}" for how in ("rolling", "split") for what in kinds), *alone,
             *(f"{what} {o}" for o in outputs for what in ("write once", "stores")),
             *(f"loads {t}" for t in loads),
             *(n.removeprefix("index ") for n in executed if n.startswith("index "))]  # fmt: skip
    return {
        "accumulators": {
            str(a.symbol): [a.reducer, *(str(plan.anchor(s).stale) for s in a.anchors)] for a in plan.accumulators
        },
        "reading": [str(n) for n in range(1, len(plan.readings) + 1)],
        "finish": outputs,
        "guard": [f.name for f in plan.finish if str(f.guard) != "True"],
        "index": index if kernels is not None else [],
        "refinement": [n.removeprefix("refinement ") for n in executed if n.startswith("refinement ")],
    }


def seal(found: dict[str, Any]) -> str:
    """The text of a proof file, with the key that its content has."""
    return json.dumps({**found, "key": recheck.digest({**found, "key": ""})}, indent=1, ensure_ascii=False) + "\n"


def proof_of(found: dict[str, Any], plan: Plan) -> Proof:
    """What a file that was rechecked says of a plan, taken at its word."""
    return Proof(
        plan,
        tuple(_result(o, found["answers"]) for o in found["obligations"]),
        tuple(found["versions"].items()),
        kept=True,
    )


def record_of(found: dict[str, Any], texts: Mapping[str, str]) -> Record:
    """What a proof file says of the texts beside it, the kernel and what it loads, after a check of it.

    Raises `recheck.Rejected` where it does not hold, or is of another text.
    """
    recheck.recheck(found)
    hashes = found["hashes"]
    for what, text in texts.items():
        bound = what == "kernel" or what in hashes
        recheck.require(not bound or hashes.get(what) == text_hash(text), f"the {what} is not the one that it is of")
    results = tuple(_result(o, found["answers"]) for o in found["obligations"])
    return Record(found["name"], results, tuple(found["versions"].items()))


def kept(proof: Proof, found: dict[str, Any]) -> Proof:
    """A proof whose certificates were read from a file, with the versions that the file names."""
    return Proof(
        proof.plan, tuple(replace(r, seconds=0.0) for r in proof.results), tuple(found["versions"].items()), True
    )


def certificates_of(found: dict[str, Any]) -> tuple[tuple[str, tuple[Certificate, ...]], ...]:
    """The certificates of a file that was rechecked, by the names of their obligations."""
    return tuple((o["name"], _result(o, found["answers"]).proof) for o in found["obligations"])


def _rounding(plan: Plan) -> dict[str, Any]:
    """The bound of every output and dtype, and for what it holds."""
    outputs = [{"output": b.output, "dtype": b.dtype, "bound": b.formula, "units": b.units} for b in bounds(plan)]
    return {"holds for": HOLDS, "outputs": outputs}


def _obligation(r: Result) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": r.name, "claim": r.claim, "verdict": r.verdict}
    if r.note:
        entry["note"] = r.note
    proof = []
    for certificate in r.proof:
        variables = {"variables": dict(certificate.variables)} if certificate.variables else {}
        proof.append({**variables, "case": to_json(certificate.case)})
    return {**entry, "proof": proof}


def _result(entry: dict[str, Any], answers: dict[str, Any]) -> Result:
    numbers = "Int" if entry["name"].startswith("index ") else "Real"
    proof = tuple(
        Certificate(from_json(c["case"], numbers, answers), tuple(c.get("variables", {}).items()))
        for c in entry["proof"]
    )
    note = entry.get("note", "")
    return Result(entry["name"], entry["claim"], entry["verdict"], 0.0, joined_scripts(proof), note=note, proof=proof)
