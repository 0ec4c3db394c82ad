"""The proof file: what was claimed of which spec and plan, by which versions, with the certificates of every answer.

It holds no times and nothing of the machine, so that the same proof is the same file.
"""

from __future__ import annotations

import json
from typing import Any

from refold.algebra import Plan
from refold.verify import recheck
from refold.verify.certificate import Certificate, from_json, joined_scripts, scripts, to_json
from refold.verify.result import Proof, Result


def document(proof: Proof, name: str) -> str:
    """The text of NAME.proof.json."""
    return seal(contents(proof, name))


def contents(proof: Proof, name: str) -> dict[str, Any]:
    """A proof as data, without its key."""
    everything = [c for r in proof.results for c in r.proof]
    return {
        "format": recheck.FORMAT,
        "name": name,
        "spec": str(proof.plan.spec),
        "plan": str(proof.plan),
        "versions": dict(proof.versions),
        "obligations": [_obligation(r) for r in proof.results],
        "scripts": {s.name: {"answers": dict(s.answers), "smt2": s.smt2} for s in scripts(everything)},
    }


def seal(found: dict[str, Any]) -> str:
    """The text of a proof file, with the key that its content has."""
    return json.dumps({"key": recheck.key(found), **found}, indent=1, ensure_ascii=False) + "\n"


def proof_of(found: dict[str, Any], plan: Plan) -> Proof:
    """The proof that a file holds of a plan. The caller has rechecked the file."""
    return Proof(
        plan,
        tuple(_result(o, found["scripts"]) for o in found["obligations"]),
        tuple(found["versions"].items()),
        kept=True,
    )


def _obligation(r: Result) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": r.name, "claim": r.claim, "verdict": r.verdict}
    if r.note:
        entry["note"] = r.note
    proof = []
    for certificate in r.proof:
        variables = {"variables": dict(certificate.variables)} if certificate.variables else {}
        proof.append({**variables, "case": to_json(certificate.case)})
    return {**entry, "proof": proof}


def _result(entry: dict[str, Any], known: dict[str, Any]) -> Result:
    proof = tuple(
        Certificate(from_json(c["case"], known), tuple(c.get("variables", {}).items())) for c in entry["proof"]
    )
    note = entry.get("note", "")
    return Result(entry["name"], entry["claim"], entry["verdict"], 0.0, joined_scripts(proof), note=note, proof=proof)
