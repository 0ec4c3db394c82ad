"""What refold answers, for machines: JSON, JUnit XML, SARIF 2.1.0 and GitHub workflow commands."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import quote
from xml.etree import ElementTree

from refold import __version__
from refold.report import states
from refold.report.loading import Loaded

Verdict = Literal["proved", "refuted", "unknown"]
# The word of what ended a command before there was a verdict.
ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked: an obligation, a derivation, a run of tests.

    `detail` says what is wrong; `word` is what to call the verdict where it is none of a solver; `note` says how it
    was reached, and `alone` whether by one solver only; `example` is the counterexample as data. `place` is the file
    and the line where what is at fault is written; where none is known, that of the pipeline.
    """

    name: str
    claim: str
    verdict: Verdict
    seconds: float
    detail: str = ""
    word: str = ""
    note: str = ""
    alone: str = ""
    example: dict[str, Any] | None = None
    place: tuple[str, int] | None = None

    def at(self, loaded: Loaded) -> tuple[str, int]:
        """The file and the line to show it at."""
        return self.place or (loaded.place, loaded.line)


# What was loaded, and what was found of it.
Answer: TypeAlias = "tuple[Loaded, Sequence[Finding]]"


def tests_findings(tests: Any) -> tuple[Finding, ...]:
    """The run of the emitted tests as one more thing that was checked; nothing where they did not run."""
    if tests is None:
        return ()
    if tests.passed:
        return (Finding("tests", tests.summary, "proved", tests.seconds, word="passed"),)
    return (Finding("tests", tests.summary, "refuted", tests.seconds, tests.output, "failed"),)


def report_data(loaded: Loaded, report: Any) -> dict[str, Any]:
    """`verify --format json`: the obligations and their verdicts, and where in a file what is not proved is written."""
    from refold.verify.places import place_of

    obligations = []
    for r in report.results:
        entry = {"name": r.name, "claim": r.claim, "verdict": r.verdict, "seconds": round(r.seconds, 4)}
        if r.remark:
            entry["note"] = r.remark
        place = place_of(report, r) if r.verdict != "proved" else None
        if place is not None:
            entry["at"] = {"file": place.path, "line": place.line}
        if r.counterexample is not None:
            entry["counterexample"] = example_data(r.counterexample)
        obligations.append(entry)
    versions = {"refold": __version__, **dict(report.versions)}
    found = {"spec": loaded.given, "verdict": report.verdict, "obligations": obligations, **states.data(report)}
    return {**found, "versions": versions}


def example_data(c: Any) -> dict[str, Any]:
    """A counterexample: the input and both outputs, the order of the run, its states, and the first that is wrong."""

    def moment(m: Any) -> dict[str, Any]:
        return {"when": m.when, "state": dict(m.state)}

    found = {"inputs": dict(c.inputs), "call": c.call, "wanted": c.wanted, "got": c.got, "how": c.how,
             "order": c.order, "trace": [moment(m) for m in c.trace]}  # fmt: skip
    if c.divergence is not None:
        p = c.divergence
        found["divergence"] = {
            "function": p.function, "component": p.component, "when": p.when, "got": p.got, "wanted": p.wanted,
            "meaning": p.meaning, "entry": p.entry, "before": [moment(m) for m in p.before],
        }  # fmt: skip
    return found


def derivation_data(loaded: Loaded, outcome: Any) -> dict[str, Any]:
    """`derive --format json`: the fused form, or the reason why there is none."""
    from refold.algebra import Refusal, Staged
    from refold.algebra.display import determinant_text
    from refold.spec.mathematics import text

    if isinstance(outcome, Refusal):
        reason = outcome.reason
        if outcome.evidence is not None:
            n = len(outcome.evidence.rows)
            reason += f"; a {n} x {n} sample matrix has determinant {determinant_text(outcome)}, which is not 0"
        return {"spec": loaded.given, "status": "refused", "reason": reason, "class": outcome.kind, "folds": [],
                "conditions": []}  # fmt: skip
    if isinstance(outcome, Staged):
        parts = [derivation_data(loaded, plan) for plan in outcome.plans]
        laws = (
            []
            if outcome.form is None
            else [{"law": u.law, "before": text(u.before), "after": text(u.after)} for u in outcome.form.uses]
        )
        return {"spec": loaded.given, "status": "derived", "class": " ".join(p["class"] for p in parts), "laws": laws,
                "stages": [{"pipeline": str(plan.spec), **p} for plan, p in zip(outcome.plans, parts, strict=True)],
                "folds": [], "conditions": []}  # fmt: skip
    folds = []
    for members in _families(outcome):
        main = members[-1]
        folds.append({"name": str(main.symbol), "rank": main.rank, "accumulators": [str(a.symbol) for a in members],
                      "correction": "; ".join(f"{a.symbol} -> {text(a.correction)}" for a in members)})  # fmt: skip
    conditions = [{"claim": text(c.claim), "where": c.where, "guarded": c.guarded} for c in outcome.conditions]
    return {"spec": loaded.given, "status": "derived", "class": outcome.kind, "folds": folds,
            "conditions": conditions}  # fmt: skip


def _families(plan: Any) -> list[list[Any]]:
    """The accumulators by the fold they serve, its own last."""
    named = {step.after for step in plan.steps if step.rule in ("accumulate", "argmax")}
    found: list[list[Any]] = [[]]
    for a in plan.accumulators:
        found[-1].append(a)
        if a.symbol in named:
            found.append([])
    return [members for members in found if members]


def junit(answers: Sequence[Answer]) -> str:
    """JUnit XML: a suite a file, a test case a finding, a failure where refuted, an error where unknown."""
    root = ElementTree.Element("testsuites", {"name": "refold", **_counts([f for _, found in answers for f in found])})
    for loaded, findings in answers:
        counts = {**_counts(findings), "skipped": "0"}
        suite = ElementTree.SubElement(root, "testsuite", {"name": _xml(loaded.given), **counts})
        for f in findings:
            _case(suite, loaded, f)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode")


def _counts(findings: Sequence[Finding]) -> dict[str, str]:
    refuted, unknown = (sum(f.verdict == verdict for f in findings) for verdict in ("refuted", "unknown"))
    return {"tests": str(len(findings)), "failures": str(refuted), "errors": str(unknown),
            "time": f"{sum(f.seconds for f in findings):.3f}"}  # fmt: skip


def _case(suite: ElementTree.Element, loaded: Loaded, f: Finding) -> None:
    case = ElementTree.SubElement(suite, "testcase", {
        "classname": f"refold.{loaded.name}", "name": _xml(f.name), "time": f"{f.seconds:.3f}",
        "file": _xml(f.at(loaded)[0]), "line": str(f.at(loaded)[1]),
    })  # fmt: skip
    if f.note:
        properties = ElementTree.SubElement(case, "properties")
        ElementTree.SubElement(properties, "property", {"name": "note", "value": _xml(f.note)})
    if f.verdict != "proved":
        tag = "failure" if f.verdict == "refuted" else "error"
        element = ElementTree.SubElement(
            case, tag, {"message": _xml(f"{f.word or f.verdict}: {f.claim}"), "type": f.verdict}
        )
        element.text = _xml(f.detail)
    if f.example is not None:
        ElementTree.SubElement(case, "system-out").text = _xml(dumps(f.example))


def sarif(answers: Sequence[Answer]) -> str:
    """SARIF 2.1.0: a rule a name, a result a finding, `pass` where proved, `fail` where refuted, `open` where unknown.

    All files are one run: whoever takes it in may take one run of a tool.
    """
    findings = [(loaded, f) for loaded, found in answers for f in found]
    failed = any(f.word == ERROR for _, f in findings)
    names = list(dict.fromkeys(f.name for _, f in findings))
    rules = [{"id": name, "shortDescription": {"text": f"refold proves: {name}"}} for name in names]
    results = [_result(loaded, f, names.index(f.name)) for loaded, f in findings]
    driver = {"name": "refold", "version": __version__, "rules": rules}
    ended = {"executionSuccessful": not failed}
    run = {"tool": {"driver": driver}, "invocations": [ended], "results": results, "columnKind": "unicodeCodePoints"}
    return dumps({"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]})


def _result(loaded: Loaded, f: Finding, rule: int) -> dict[str, Any]:
    kinds, failed = {"proved": "pass", "refuted": "fail", "unknown": "open"}, f.word == ERROR
    return {
        "ruleId": f.name, "ruleIndex": rule, "kind": "fail" if failed else kinds[f.verdict],
        "level": "error" if f.verdict == "refuted" or failed else "none",
        "message": {"text": _message(f)}, "locations": [_location(*f.at(loaded))],
        "partialFingerprints": {"refoldObligation/v1": _fingerprint(loaded, f)},
        "properties": {"verdict": f.verdict, "claim": f.claim, "seconds": round(f.seconds, 4), "note": f.note}
        | ({"counterexample": f.example} if f.example is not None else {}),
    }  # fmt: skip


def _location(file: str, line: int) -> dict[str, Any]:
    uri = Path(file).resolve().as_uri() if Path(file).is_absolute() else quote(file)
    return {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": line}}}


def _fingerprint(loaded: Loaded, f: Finding) -> str:
    """The same for an obligation of a file from run to run, wherever in the file it stands."""
    return hashlib.sha256(f"{loaded.place}\n{loaded.name}\n{f.name}".encode()).hexdigest()[:32]


def github(answers: Sequence[Answer]) -> str:
    """GitHub workflow commands: an error where refuted, a warning where unknown, one notice where all is proved."""
    return "\n".join(line for loaded, findings in answers for line in _annotations(loaded, findings))


def _annotations(loaded: Loaded, findings: Sequence[Finding]) -> list[str]:
    levels = {"refuted": "error", "unknown": "warning"}
    lines = [
        _command("error" if f.word == ERROR else levels[f.verdict], f.at(loaded), f"refold {f.name}", _message(f))
        for f in findings
        if f.verdict in levels
    ]
    if not lines:
        names = ", ".join(dict.fromkeys(f.name for f in findings))
        words = " and ".join(sorted({f.word or f.verdict for f in findings}))
        lines = [_command("notice", (loaded.place, loaded.line), "refold", f"{loaded.given} {words}: {names}")]
    lines += [_command("notice", f.at(loaded), f"refold {f.name}", f"{f.name}: {f.alone}") for f in findings if f.alone]
    return lines


def _command(level: str, place: tuple[str, int], title: str, message: str) -> str:
    data = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    fields = {"file": place[0], "line": str(place[1]), "title": title}
    escaped = [f"{k}={_property(v)}" for k, v in fields.items()]
    return f"::{level} {','.join(escaped)}::{data}"


def _property(value: str) -> str:
    for raw, code in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A"), (":", "%3A"), (",", "%2C")):
        value = value.replace(raw, code)
    return value


def _message(f: Finding) -> str:
    return "\n".join(part for part in (f"{f.name} {f.word or f.verdict}: {f.claim}".rstrip(": "), f.detail) if part)


def _xml(text: str) -> str:
    """Text without the control characters that XML has no way to write."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


def dumps(value: Any) -> str:
    return json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    """Data that JSON can say: arrays as lists, what is not finite as a string."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case dict():
            return {str(k): _plain(v) for k, v in value.items()}
        case list() | tuple():
            return [_plain(v) for v in value]
    return _plain(value.tolist()) if hasattr(value, "tolist") else str(value)


def build_json(loaded: Loaded, report: Any, paths: Sequence[Path], note: str, tests: Any) -> str:
    """`build --format json`: the report of `verify`, and below it the bundle, whether its kernel ran, and its tests."""
    found = report_data(loaded, report)
    ended = tests and {"passed": tests.passed, "summary": tests.summary, "seconds": round(tests.seconds, 2)}
    return dumps({**found, "bundle": [str(path) for path in paths], "note": note, "tests": ended})


# The formats that are lists of findings.
WRITERS: dict[str, Callable[[Sequence[Answer]], str]] = {"junit": junit, "sarif": sarif, "github": github}
