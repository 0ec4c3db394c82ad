"""Every command, format and exit code of the command line, and one message for every input that cannot be used."""

from __future__ import annotations

import ast
import importlib
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import sympy as sp

from refold.algebra import derive
from refold.cli import main
from refold.emit import emit
from refold.errors import ClaimError
from refold.report import ascii, failures, formats, loading
from refold.verify import Counterexample, Disproof, Proof, Result

ROOT = Path(__file__).parents[1]
HEAD = """from refold import Tensor, axes, exp, fold, log, pipeline
(j,) = axes("j")
(i,) = axes("i")
x = Tensor("x", i, j)
"""
SOFTMAX = HEAD + "p = exp(x[i, j] - fold.max(x[i, j], over=j))\nSPEC = pipeline(y=(p / fold.sum(p, over=j))[i, j])\n"
REFUSED = HEAD + "SPEC = pipeline(t=fold.sum(log(x[i, j] ** 2 + 1 + fold.max(x[i, j], over=j)), over=j)[i])\n"
FORMATS = ["pretty", "json", "junit", "sarif", "github"]


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


@pytest.fixture
def refold(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Ran]:
    """Runs the command line in this process and in a folder of its own, as in a pipe of 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("REFOLD_CACHE", str(tmp_path / "cache"))
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "REFOLD_TRACEBACK", "GITHUB_ACTIONS", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)

    def run(*args: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["refold", *args])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return Ran(end.value.code if isinstance(end.value.code, int) else 0, out, err)

    return run


@pytest.fixture
def softmax(tmp_path: Path) -> str:
    (tmp_path / "soft.py").write_text(SOFTMAX)
    return "soft.py"


@pytest.fixture
def refused(tmp_path: Path) -> str:
    (tmp_path / "no.py").write_text(REFUSED)
    return "no.py"


def verdicts(*which: str) -> Callable[..., Any]:
    """A `verify` that gives these verdicts, one obligation each."""

    def verify(plan: Any, progress: Callable[[str], None] | None = None, timeout: Any = None) -> Proof | Disproof:
        example = Counterexample(
            (("x", [[0.0, float("inf")]]),), "y = [0, 1]", "y = [nan, nan]", "run with 2 positions"
        )
        results = []
        for n, verdict in enumerate(which):
            if progress:
                progress(f"law {n}")
            r = Result(f"law {n}", "a < b & <c>", verdict, 0.25, "(check-sat)", note=f"note {n}")  # type: ignore[arg-type]
            results.append(replace(r, counterexample=example) if verdict == "refuted" else r)
        proved = all(v == "proved" for v in which)
        return (Proof if proved else Disproof)(plan, tuple(results), (("z3", "4.0"),))

    return verify


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has `verify` answer with given verdicts, and nothing kept of them."""
    monkeypatch.setenv("REFOLD_CACHE", os.devnull)

    def use(*which: str) -> None:
        for module in ("refold.verify", "refold.verify.certificate.store"):
            monkeypatch.setattr(importlib.import_module(module), "verify", verdicts(*which))

    return use


class FakeKernel:
    note = "It ran once."

    def __init__(self, test: str, *, single_file: bool) -> None:
        self.test, self.beside = test, {} if single_file else {"refold_runtime.py": "VALUE = 4\n"}

    def write(self, folder: Path) -> tuple[Path, ...]:
        files = {"soft.py": "VALUE = 3\n", **self.beside, "test_soft.py": self.test}
        for name, text in files.items():
            (folder / name).write_text(text)
        return tuple(folder / name for name in files)


@pytest.fixture
def emits(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has `emit` write a bundle with the given test file."""

    def use(test: str) -> None:
        module = importlib.import_module("refold.emit")
        monkeypatch.setattr(module, "emit", lambda proof, name, single_file: FakeKernel(test, single_file=single_file))
        monkeypatch.setattr(module, "tried", lambda kernel: kernel)

    return use


PASSES = "import os, soft\ndef test_it():\n    assert soft.VALUE == 3 and 'TRITON_INTERPRET' in os.environ or True\n"
FAILS = "def test_it():\n    assert 1 == 2\n"


# --- commands --------------------------------------------------------------------------------------------------


def test_help_and_version(refold: Callable[..., Ran]) -> None:
    shown = refold("--help")
    assert shown.code == 0
    assert all(name in shown.out for name in ["list", "derive", "verify", "emit", "build", "check", "recheck", "bench"])
    assert "Exit codes: 0 proved" in shown.out
    assert refold("--version") == Ran(0, "refold 0.1.0\n", "")
    assert refold("verify", "-h").code == 0


def test_list_names_every_example(refold: Callable[..., Ran]) -> None:
    shown = refold("list")
    assert shown.code == 0
    rows = {line.split()[0]: line for line in shown.out.splitlines() if line}
    assert "class F0: no value that is read is ever stale." in shown.out
    assert {path.stem for path in loading.catalogue()} <= set(rows)
    assert rows["attention"].split()[1:3] == ["F", "1"]
    assert rows["layer_norm"].split()[1:3] == ["R", "3"]


def test_derive_attention(refold: Callable[..., Ran], golden: Callable[[str, str], None]) -> None:
    shown = refold("derive", "attention")
    assert (shown.code, shown.err) == (0, "")
    golden("derive_attention.txt", without_place(shown.out))


def test_derive_layer_norm(refold: Callable[..., Ran], golden: Callable[[str, str], None]) -> None:
    golden("derive_layer_norm.txt", without_place(refold("derive", "layer-norm").out))


def test_derive_backward(refold: Callable[..., Ran], golden: Callable[[str, str], None]) -> None:
    shown = refold("derive", "layer-norm", "--backward")
    assert (shown.code, shown.err) == (0, "")
    golden("derive_backward_layer_norm.txt", without_place(shown.out))
    only = refold("derive", "layer-norm", "--wrt", "bias", "--format", "json")
    found = json.loads(only.out)
    assert (found["wrt"], found["saved"], found["before"]) == (["bias"], [], [])
    assert found["gradients"] == [{"outputs": ["dbias"], "pipeline": "dbias[j] = Σ_i dy[i,j]"}]
    wrong = refold("derive", "layer-norm", "--wrt", "scale")
    assert wrong.code == 2 and "there is no gradient by scale: it is none of x, weight, bias, eps" in wrong.err
    shown = refold("derive", "layer-norm", "--backward", "--format", "junit")
    assert shown.code == 0 and 'tests="1" failures="0"' in shown.out


def test_verify_backward(refold: Callable[..., Ran], softmax: str) -> None:
    shown = refold("verify", softmax, "--backward")
    assert (shown.code, shown.err) == (0, "")
    assert "gradient" in shown.out and "identities of the forward pass" in shown.out
    several = refold("verify", softmax, softmax, "--backward")
    assert several.code == 2 and "--backward is of one pipeline: name one SPEC" in several.err


def test_verify_attention(refold: Callable[..., Ran], golden: Callable[[str, str], None]) -> None:
    shown = refold("verify", "attention")
    assert (shown.code, shown.err) == (0, "")
    golden("verify_attention.txt", without_times(without_place(shown.out)))


def test_verify_verbosely(refold: Callable[..., Ran], golden: Callable[[str, str], None]) -> None:
    shown = refold("verify", "attention", "-v")
    assert (shown.code, shown.err) == (0, "")
    golden("verify_attention_verbose.txt", without_times(without_place(shown.out)))


def test_refusal(refold: Callable[..., Ran], refused: str, golden: Callable[[str, str], None]) -> None:
    shown = refold("derive", refused, "--one-pass")
    assert shown.code == 1
    golden("refusal.txt", shown.out)


def test_disproof(refold: Callable[..., Ran], softmax: str, answer: Any, golden: Callable[[str, str], None]) -> None:
    answer("proved", "refuted", "unknown")
    shown = refold("verify", softmax)
    assert shown.code == 1
    golden("disproof.txt", shown.out)


@pytest.mark.parametrize("command", ["derive", "verify", "emit", "build", "list"])
def test_pipe_is_plain_and_80_columns_wide(command: str, refold: Callable[..., Ran], softmax: str, emits: Any) -> None:
    emits(PASSES)
    args = {"list": [], "emit": [softmax, "-o", "out"], "build": [softmax, "-o", "out"]}.get(command, [softmax])
    shown = refold(command, *args)
    assert shown.code == 0
    assert "\x1b" not in shown.out and not set("│╭╮╰╯┃━─") & set(shown.out)
    assert max(map(len, shown.out.splitlines())) <= 80


def without_place(text: str) -> str:
    first, _, rest = text.partition("\n")
    return f"{first.split()[0]}\n{rest}"


def without_times(text: str) -> str:
    import re

    return re.sub(r"\d+\.\d\d s", "0.00 s", text)


# --- formats and exit codes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", FORMATS)
@pytest.mark.parametrize(
    ("which", "code"), [(["proved"], 0), (["proved", "refuted"], 1), (["unknown"], 3), (["refuted", "unknown"], 1)]
)
def test_verify_exit_code_is_that_of_the_verdict(
    shape: str, which: list[str], code: int, refold: Callable[..., Ran], softmax: str, answer: Any
) -> None:
    answer(*which)
    shown = refold("verify", softmax, "--format", shape)
    assert (shown.code, shown.err) == (code, "")
    check_format(shape, shown.out, which)


@pytest.mark.parametrize(("fail_on", "codes"), [("unknown", (0, 3, 1)), ("refuted", (0, 0, 1)), ("never", (0, 0, 0))])
def test_fail_on_decides_the_exit_code_and_nothing_else(
    fail_on: str,
    codes: tuple[int, ...],
    refold: Callable[..., Ran],
    softmax: str,
    refused: str,
    answer: Any,
    emits: Any,
) -> None:
    emits(PASSES)
    for verdict, code in zip(("proved", "unknown", "refuted"), codes, strict=True):
        answer(verdict)
        plain = refold("verify", softmax, "--format", "json")
        shown = refold("verify", softmax, "--format", "json", "--fail-on", fail_on)
        assert (shown.code, shown.out) == (code, plain.out) and json.loads(shown.out)["verdict"] == verdict
        assert refold("build", softmax, "-o", verdict, "--fail-on", fail_on).code == code
        assert bool(list(Path(verdict).iterdir())) == (verdict == "proved")
    assert refold("verify", refused, "--one-pass", "--fail-on", fail_on).code == codes[2]
    assert refold("verify", "nosuch.py", "--fail-on", fail_on).code == 2


def test_what_the_time_limit_leaves_open_is_unknown(refold: Callable[..., Ran], tmp_path: Path) -> None:
    # A limit of 0 has run out on any machine, and one of an hour on none.
    shown = refold("verify", "layer_norm", "--timeout", "0", "--format", "json")
    assert shown.code == 3
    found = json.loads(shown.out)
    left = [o for o in found["obligations"] if o["verdict"] == "unknown"]
    assert found["verdict"] == "unknown" and left
    assert any("the time limit of 0 s ran out" in o["note"] for o in left)
    assert refold("verify", "layer_norm", "--timeout", "0", "--fail-on", "refuted").code == 0
    assert refold("verify", "logsumexp", "--timeout", "3600").code == 0
    (tmp_path / "wrong.py").write_text(WRONG)
    shown = refold("verify", "wrong.py", "--timeout", "0")
    assert shown.code == 3 and "the time limit of 0 s ran out" in shown.out
    assert refold("verify", "wrong.py", "--timeout", "-1").code == 2


@pytest.mark.parametrize("shape", FORMATS)
def test_derive_formats(shape: str, refold: Callable[..., Ran], softmax: str, refused: str) -> None:
    shown = refold("derive", softmax, "--format", shape)
    assert (shown.code, shown.err) == (0, "")
    if shape != "json":
        check_format(shape, shown.out, ["proved"])
    shown = refold("derive", refused, "--one-pass", "--format", shape)
    assert (shown.code, shown.err) == (1, "")
    if shape != "json":
        check_format(shape, shown.out, ["refuted"])


@pytest.mark.parametrize("shape", FORMATS)
def test_verify_of_what_is_refused(shape: str, refold: Callable[..., Ran], refused: str) -> None:
    verified, derived = (refold(command, refused, "--one-pass", "--format", shape) for command in ("verify", "derive"))
    took = r'(time|"seconds")(=|: )"?[\d.]+'
    assert re.sub(took, "", verified.out) == re.sub(took, "", derived.out) and verified.err == derived.err == ""
    assert refold("verify", refused, "--one-pass", "--format", shape).code == 1


def check_format(shape: str, out: str, which: list[str]) -> None:
    """Holds an answer to what its format demands of it."""
    match shape:
        case "json":
            found = json.loads(out)
            assert [o["verdict"] for o in found["obligations"]] == which
            parts = {"guards", "overflow", "rounding"}
            assert set(found) == {"spec", "verdict", "obligations", "versions", *parts}
        case "junit":
            suite = ElementTree.fromstring(out).find("testsuite")
            assert suite is not None
            counts = [len(which), which.count("refuted"), which.count("unknown")]
            assert [int(suite.attrib[k]) for k in ("tests", "failures", "errors")] == counts
            assert len(suite.findall("testcase")) == len(which)
            assert len(suite.findall("testcase/failure")) == counts[1]
            assert len(suite.findall("testcase/error")) == counts[2]
            order = ["properties", "failure", "error", "system-out"]
            for case in suite:
                places = [order.index(part.tag) for part in case]
                assert places == sorted(places)
        case "sarif":
            log = json.loads(out)
            assert log["version"] == "2.1.0" and log["$schema"].endswith("sarif-2.1.0.json")
            (run,) = log["runs"]
            rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
            assert len(set(rules)) == len(rules)
            kinds = {"proved": ("pass", "none"), "refuted": ("fail", "error"), "unknown": ("open", "none")}
            assert [(r["kind"], r["level"]) for r in run["results"]] == [kinds[w] for w in which]
            for r in run["results"]:
                assert rules[r["ruleIndex"]] == r["ruleId"]
                assert re.fullmatch("[0-9a-f]{32}", r["partialFingerprints"]["refoldObligation/v1"])
                place = r["locations"][0]["physicalLocation"]
                assert place["artifactLocation"]["uri"] in ("soft.py", "no.py")
                assert place["region"]["startLine"] in (5, 6)
        case "github":
            lines = out.splitlines()
            errors, warnings = which.count("refuted"), which.count("unknown")
            levels = ["error"] * errors + ["warning"] * warnings or ["notice"]
            assert [line.split()[0] for line in lines] == [f"::{level}" for level in levels]
            assert all(line.split()[1].startswith(("file=soft.py,line=6,", "file=no.py,line=5,")) for line in lines)


def test_json_of_verify(refold: Callable[..., Ran], softmax: str, answer: Any) -> None:
    answer("refuted")
    found = json.loads(refold("verify", softmax, "--format", "json").out)
    assert (found["spec"], found["verdict"]) == ("soft.py", "refuted")
    (obligation,) = found["obligations"]
    assert set(obligation) == {"name", "claim", "verdict", "seconds", "note", "at", "counterexample"}
    assert obligation["counterexample"]["inputs"] == {"x": [[0.0, "inf"]]}
    assert found["versions"] == {"refold": "0.1.0", "z3": "4.0"}


def test_json_of_derive(refold: Callable[..., Ran], softmax: str, refused: str) -> None:
    found = json.loads(refold("derive", softmax, "--format", "json").out)
    assert set(found) == {"spec", "status", "class", "folds", "conditions"}
    assert (found["status"], found["class"]) == ("derived", "F")
    assert found["folds"][1] == {
        "name": "l", "rank": 1, "accumulators": ["l"], "correction": "l -> l·exp(m - m′)",
    }  # fmt: skip
    assert found["conditions"][0] == {"claim": "m > -∞", "where": "anchor m", "guarded": True}
    found = json.loads(refold("derive", refused, "--one-pass", "--format", "json").out)
    assert set(found) == {"spec", "status", "reason", "class", "folds", "conditions"}
    assert found["status"] == "refused" and "determinant ≈ 1.6297691e-13" in found["reason"]


def test_ranks_in_json(refold: Callable[..., Ran]) -> None:
    folds = json.loads(refold("derive", "layer_norm", "--format", "json").out)["folds"]
    assert [(f["name"], f["rank"], f["accumulators"]) for f in folds] == [
        ("n", 1, ["n"]), ("mean", 1, ["mean"]), ("M2", 3, ["M2"]),
    ]  # fmt: skip
    folds = json.loads(refold("derive", "kurtosis", "--format", "json").out)["folds"]
    assert max(f["rank"] for f in folds) == 5
    assert [name for f in folds for name in f["accumulators"]] == ["n", "mean", "M2", "M3", "M4"]


def test_machines_get_the_note_and_the_input(refold: Callable[..., Ran], softmax: str, answer: Any) -> None:
    answer("proved", "refuted")
    suite = ElementTree.fromstring(refold("verify", softmax, "--format", "junit").out)
    notes = [p.attrib["value"] for p in suite.iter("property")]
    assert notes == ["note 0", "note 1"]
    (out,) = suite.iter("system-out")
    assert json.loads(out.text or "")["call"] == "SPEC(x=[[0.0, inf]])"
    (run,) = json.loads(refold("verify", softmax, "--format", "sarif").out)["runs"]
    good, bad = run["results"]
    assert good["properties"] == {"verdict": "proved", "claim": "a < b & <c>", "seconds": 0.25, "note": "note 0"}
    assert bad["properties"]["counterexample"]["inputs"] == {"x": [[0.0, "inf"]]}
    assert good["partialFingerprints"] != bad["partialFingerprints"]
    path = Path(softmax)
    path.write_text("\n\n" + path.read_text())
    (later,) = json.loads(refold("verify", softmax, "--format", "sarif").out)["runs"]
    assert [r["partialFingerprints"] for r in later["results"]] == [r["partialFingerprints"] for r in run["results"]]
    assert later["results"][0]["locations"] != good["locations"]


def test_xml_and_commands_are_escaped() -> None:
    loaded = loading.Loaded("a,b.py", "a", Path("a,b.py"), 3, None)
    finding = formats.Finding("law", "x < 1\x00\n100%", "refuted", 0.5, "a & b")
    assert ElementTree.fromstring(formats.junit([(loaded, [finding])])).find("*/*/failure") is not None
    line = formats.github([(loaded, [finding])])
    assert line == "::error file=a%2Cb.py,line=3,title=refold law::law refuted: x < 1\x00%0A100%25%0Aa & b"


# --- emit and build ------------------------------------------------------------------------------------------


def test_emit_writes_the_bundle(refold: Callable[..., Ran], softmax: str, emits: Any, tmp_path: Path) -> None:
    emits(PASSES)
    shown = refold("emit", softmax, "-o", "new/folder")
    files = ["soft.py", "refold_runtime.py", "test_soft.py"]
    listed = "".join(f"  new/folder/{name}\n" for name in files)
    assert (shown.code, shown.out) == (0, f"Bundle\n{listed}  It ran once.\n")
    assert sorted(p.name for p in (tmp_path / "new/folder").iterdir()) == sorted(files)


@pytest.mark.parametrize("command", ["emit", "build"])
def test_a_single_file_has_no_runtime_beside_it(
    command: str, refold: Callable[..., Ran], softmax: str, emits: Any, tmp_path: Path
) -> None:
    emits(PASSES)
    assert refold(command, softmax, "-o", "out", "--single-file").code == 0
    assert sorted(p.name for p in (tmp_path / "out").glob("*.py")) == ["soft.py", "test_soft.py"]


@pytest.mark.parametrize(("verdict", "code"), [("refuted", 1), ("unknown", 3)])
@pytest.mark.parametrize("command", ["emit", "build"])
def test_nothing_is_emitted_without_proof(
    command: str,
    verdict: str,
    code: int,
    refold: Callable[..., Ran],
    softmax: str,
    answer: Any,
    emits: Any,
    tmp_path: Path,
) -> None:
    emits(PASSES)
    answer("proved", verdict)
    shown = refold(command, softmax, "-o", "out")
    assert shown.code == code and "law 1" in shown.out
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("command", ["emit", "build"])
def test_nothing_is_emitted_of_a_refusal(command: str, refold: Callable[..., Ran], refused: str, emits: Any) -> None:
    emits(PASSES)
    shown = refold(command, refused, "--one-pass", "-o", "out")
    assert shown.code == 1 and shown.out.count("✗ refused") == 1


def test_build_shows_every_step(refold: Callable[..., Ran], softmax: str, emits: Any) -> None:
    emits(PASSES)
    shown = refold("build", softmax, "-o", "out")
    assert (shown.code, shown.err) == (0, "")
    order = ["Pipeline", "✓ derived", "corrections", "✓ proved", "Bundle", "out/test_soft.py", "✓ tests   1 passed"]
    places = [shown.out.index(word) for word in order]
    assert places == sorted(places)


@pytest.mark.parametrize("shape", FORMATS)
def test_build_fails_with_the_emitted_tests(
    shape: str, refold: Callable[..., Ran], softmax: str, emits: Any, answer: Any
) -> None:
    emits(FAILS)
    answer("proved")
    shown = refold("build", softmax, "-o", "out", "--format", shape)
    assert (shown.code, shown.err) == (1, "")
    assert "1 failed" in shown.out and ("assert 1 == 2" in shown.out or shape == "json")
    if shape == "json":
        assert json.loads(shown.out)["tests"]["passed"] is False
    elif shape != "pretty":
        check_format(shape, shown.out, ["proved", "refuted"])


def test_the_bundle_is_tested_apart_from_the_project_around_it(
    refold: Callable[..., Ran], softmax: str, emits: Any, tmp_path: Path
) -> None:
    emits(PASSES)
    (tmp_path / "conftest.py").write_text("raise RuntimeError('not of the bundle')\n")
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\naddopts = ['--nonesuch']\n")
    assert refold("build", softmax, "-o", "out").code == 0
    assert not (tmp_path / "out" / "__pycache__").exists()


# --- claims --------------------------------------------------------------------------------------------------

CLAIM = SOFTMAX + "class C:\n    spec = SPEC\nCLAIM = C()\n"


def test_a_claim_is_what_is_verified(
    refold: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(CLAIM)
    seen = []

    def verify_claim(claim: Any, progress: Any = None, timeout: Any = None) -> Any:
        seen.append(type(claim).__name__)
        return verdicts("refuted")(derive(claim.spec), progress)

    monkeypatch.setattr(sys.modules["refold.verify"], "verify_claim", verify_claim, raising=False)
    assert refold("verify", "mine.py").code == 1
    assert refold("verify", "mine.py:CLAIM", "--format", "json").code == 1
    assert seen == ["C", "C"]
    assert refold("verify", "mine.py:SPEC").code == 0
    assert refold("derive", "mine.py").code == 0
    assert refold("derive", "mine.py:CLAIM").code == 0

    def wrong(claim: Any, progress: Any = None, timeout: Any = None) -> Any:
        raise ClaimError("the claim has no merge: write merge(left, right)")

    monkeypatch.setattr(sys.modules["refold.verify"], "verify_claim", wrong, raising=False)
    assert refold("verify", "mine.py") == Ran(
        2, "", "error: mine.py:9: the claim has no merge: write merge(left, right)\n"
    )


WRONG = """from refold import Tensor, axes, claim, exp, fold, maximum, oo, pipeline
i, j = axes("i j")
x = Tensor("x", i, j)
SPEC = pipeline(l=fold.sum(exp(x[i, j] - fold.max(x[i, j], over=j)), over=j)[i])


def step(a, c):
    m = maximum(a.m, c.x)
    return {"m": m, "l": a.l + exp(c.x - m)}


CLAIM = claim(SPEC, element={"x": x[i, j]}, init={"m": -oo, "l": 0}, step=step, finish=lambda a: a.l)
"""


def test_a_wrong_claim_is_refuted_with_an_input(
    refold: Callable[..., Ran], tmp_path: Path, golden: Callable[[str, str], None]
) -> None:
    (tmp_path / "wrong.py").write_text(WRONG)
    shown = refold("verify", "wrong.py")
    assert shown.code == 1
    golden("wrong_claim.txt", shown.out)
    (obligation,) = json.loads(refold("verify", "wrong.py", "--format", "json").out)["obligations"]
    assert (obligation["name"], obligation["claim"]) == ("step l", "l = l₁ + exp(x - max(m₁, x))")
    example = obligation["counterexample"]
    assert example["inputs"]["x"] == [[0.0, 1.0]] and example["call"] == "SPEC(i=1, j=2, x=[[0.0, 1.0]])"
    assert example["order"] == [0, 1]
    assert example["divergence"] == {
        "function": "step", "component": "l", "when": "after element 1 (x = 1)", "got": 2.0,
        "wanted": pytest.approx(1.3678794), "meaning": "l = Σ_j exp(x - m)", "entry": "",
        "before": [{"when": "after element 0 (x = 0)", "state": {"m": 0.0, "l": 1.0}}],
    }  # fmt: skip
    assert [moment["when"] for moment in example["trace"]] == ["of no element", "after element 0 (x = 0)"]
    assert example["trace"][0]["state"] == {"m": "-inf", "l": 0.0}
    for shape in ("junit", "sarif", "github"):
        out = refold("verify", "wrong.py", "--format", shape).out
        assert "after element 1 (x = 1): l = 2, should be 1.367879 (l = Σ_j exp(x - m))" in out
        assert "SPEC(i=1, j=2, x=[[0.0, 1.0]])" in out


FORM = """from refold import exp, maximum, oo

init = {"m": -oo, "l": 0}


def step(a, c):
    m = maximum(a.m, c.x)
    return {"m": m, "l": a.l * exp(a.m - m) + exp(c.x - m)}


def finish(a, c):
    return exp(c.x - a.m) / a.l
"""


def test_functions_beside_a_spec_are_a_form_of_it(refold: Callable[..., Ran], softmax: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from soft import SPEC\n" + FORM)
    shown = refold("verify", "mine.py")
    assert (shown.code, shown.err) == (0, "") and "✓ proved   8 of 8" in shown.out
    assert shown.out.startswith("mine   mine.py:7\n")
    wrong = FORM.replace("a.l * exp(a.m - m)", "a.l")
    (tmp_path / "alone.py").write_text(wrong)
    shown = refold("verify", "alone.py", "--against", "soft.py")
    assert shown.code == 1 and "step l is refuted" in shown.out
    assert refold("verify", "alone.py", "--against", "nosuch.py").err.startswith("error: nosuch.py: no such file")


def test_the_form_of_the_readme_fails_as_shown_there(refold: Callable[..., Ran], tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    (text,) = (code for code in re.findall("```python\n(.*?)```", readme, re.DOTALL) if "def finish" in code)
    (tmp_path / "mine.py").write_text(text)
    shown = refold("verify", "mine.py")
    lines = [line.strip() for line in shown.out.splitlines() if line.startswith("  ")]
    assert shown.code == 1 and len(lines) == 8
    assert all(f"\n      {line}\n" in readme for line in lines)


FORMS = {
    "no spec": (FORM, [], "form.py:6: step is a form of no pipeline yet: write `from FILE import SPEC` in form.py, or"),
    "no init": (FORM.replace("init", "start"), ["soft.py"], "form.py: no init beside step: a form is init, step and"),
    "no form": (SOFTMAX, ["soft.py"], "form.py: --against is for a file with a function step, which this one has none"),
    "line": (FORM.replace("a.m, c.x", "a.k, c.x"), ["soft.py"], "form.py:7: step reads .k, which is in neither"),
    "function": (FORM.replace('{"m": m, ', "{"), ["soft.py"], "form.py:6: step gives l: give a dict of m, l"),
    "along": (FORM.replace("(a, c):\n    return exp(c.x", "(a):\n    from soft import x, i, j\n    return exp(x[i, j]"),
              ["soft.py"], "form.py:6: finish reads along j by itself"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_a_form_that_is_none(name: str, refold: Callable[..., Ran], softmax: str, tmp_path: Path) -> None:
    text, against, message = FORMS[name]
    (tmp_path / "form.py").write_text(text)
    shown = refold("verify", "form.py", *(arg for spec in against for arg in ("--against", spec)))
    assert (shown.code, shown.out) == (2, "")
    assert shown.err.startswith(f"error: {message}") and shown.err.count("\n") == 1


# --- inputs that cannot be used ------------------------------------------------------------------------------

BAD_FILES = {
    "syntax": ("SPEC = pipeline(\n", "bad.py:1: Python syntax error: '(' was never closed in `SPEC = pipeline(`"),
    "indent": ("x = 1\n  y = 2\n", "bad.py:2: Python syntax error: unexpected indent in `y = 2`"),
    "empty": ("", "bad.py: no SPEC in this file: write SPEC = pipeline(o=...) in it"),
    "other name": (SOFTMAX.replace("SPEC", "MINE"), "bad.py: no SPEC in this file: it has MINE: give bad.py:MINE"),
    "number": ("SPEC = 3\n", "bad.py:1: SPEC is of type int and no pipeline: write SPEC = pipeline(o=...)"),
    "import": ("\nimport nonesuch\n", "bad.py:2: the file fails when it is read: ModuleNotFoundError: No module named"),
    "import name": ("from refold import softmax2\n", "bad.py:1: the file fails when it is read: ImportError: cannot"),
    "raises": ("def f():\n    return 1 / 0\nf()\n", "bad.py:2: the file fails when it is read: ZeroDivisionError:"),
    "exits": ("import sys\nsys.exit(0)\n", "bad.py: the file ends the program while it is read: put that under"),
    "name": ("SPEC = pipeline(o=1)\n", "bad.py:1: the file fails when it is read: NameError: name 'pipeline' is not"),
    "spec": (HEAD + "a = 1\nSPEC = pipeline(o=x[i, j])\n", "bad.py:6: output o varies with i, j: index it, as in"),
    "rank": (HEAD + "def f():\n    return x[i]\nf()\n", "bad.py:6: x[i, j] is read with 1 index: write x[i, j], one"),
    "no fold": (HEAD + "SPEC = pipeline(o=x[i, j][i, j])\n", "bad.py:5: the pipeline has no fold: there is nothing"),
    "null": ("x = '\x00'\n", "bad.py"),
    "binary": (b"\xff\xfe\x00\x01", "bad.py"),
    "latin": (b"x = '\xe9'\n", "bad.py"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_file(name: str, refold: Callable[..., Ran], tmp_path: Path) -> None:
    text, message = BAD_FILES[name]
    (tmp_path / "bad.py").write_bytes(text if isinstance(text, bytes) else text.encode())
    for command in (["derive"], ["verify", "--format", "json"], ["build", "-o", "out"]):
        shown = refold(*command, "bad.py")
        assert shown.code == 2
        assert shown.err.startswith(f"error: {message}")
        assert shown.err.count("\n") == 1 and len(shown.err) < 500
        assert bool(shown.out) == ("json" in command)


@pytest.mark.parametrize("shape", FORMATS[1:])
@pytest.mark.parametrize("command", [["derive"], ["verify"], ["build", "-o", "out"]], ids=lambda command: command[0])
def test_an_error_has_a_document_in_every_format(
    command: list[str], shape: str, refold: Callable[..., Ran], tmp_path: Path
) -> None:
    (tmp_path / "bad.py").write_text("x = 1\nSPEC = 3\n")
    shown = refold(*command, "bad.py", "--format", shape)
    message = "bad.py:2: SPEC is of type int and no pipeline: write SPEC = pipeline(o=...)"
    assert (shown.code, shown.err) == (2, f"error: {message}\n")
    match shape:
        case "json":
            found = json.loads(shown.out)
            assert found["error"] == {"message": message, "file": "bad.py", "line": 2}
            assert found["verdict"] == found["status"] == "error" and found["obligations"] == []
        case "junit":
            (case,) = ElementTree.fromstring(shown.out).iter("testcase")
            assert (case.attrib["file"], case.attrib["line"], case[0].tag) == ("bad.py", "2", "error")
            assert message in case[0].attrib["message"]
        case "sarif":
            (run,) = json.loads(shown.out)["runs"]
            (result,) = run["results"]
            assert (result["kind"], result["level"]) == ("fail", "error") and message in result["message"]["text"]
            assert result["locations"][0]["physicalLocation"]["region"]["startLine"] == 2
            assert run["invocations"] == [{"executionSuccessful": False}]
        case "github":
            assert shown.out == f"::error file=bad.py,line=2,title=refold load::load error: {message}\n"


@pytest.mark.parametrize(
    ("message", "given", "place"),
    [
        ("a b.py:3: wrong: do", "x", ("a b.py", 3)),
        ("deep/a.py: no SPEC in this file", "x", ("deep/a.py", 1)),
        ("a.py is a folder: give", "x", ("a.py", 1)),
        ("'soft' is no name", "soft", ("soft", 1)),
        ("refold failed", "dir/a.py:NAME", ("dir/a.py", 1)),
    ],
)
def test_the_place_of_an_error(message: str, given: str, place: tuple[str, int]) -> None:
    assert failures.place(message, given) == place


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nosuch.py", "nosuch.py: no such file: check the path ('refold list' shows"),
        ("sof.py", "sof.py: no such file: did you mean soft.py?"),
        ("deep/nosuch.py", "deep/nosuch.py: no such file"),
        ("atention", "'atention' is no name of the catalogue and no file: did you mean attention"),
        ("zzz", "'zzz' is no name of the catalogue and no file: 'refold list' shows what there is"),
        ("soft.py:NOPE", "soft.py: no NOPE in this file: it has SPEC: give soft.py:SPEC"),
        ("soft.py:x", "soft.py:4: x is of type Tensor and no pipeline"),
        ("soft.py:", "soft.py:: what follows the colon is the name of a pipeline: write soft.py:SPEC"),
        ("soft.py:a b", "soft.py:a b: what follows the colon is the name of a pipeline"),
        ("attention:NOPE", f"{loading.EXAMPLES}/attention.py: no NOPE in this file: it has SPEC"),
        ("folder", "folder is a folder: give one file in it, as in folder/NAME.py"),
        ("./folder", "./folder is a folder: give one file in it"),
        ("folder.py", "folder.py is a folder: give one file in it"),
        ("notes.txt", "notes.txt is not a Python file: write SPEC = pipeline(...) in a file that ends in .py"),
        ("pipe.py", "pipe.py is not a regular file"),
        ("", "SPEC is empty: give file.py, file.py:NAME or a catalogue name"),
        ("x" * 5000, "'xxxx"),
    ],
)
def test_bad_spec_argument(given: str, message: str, refold: Callable[..., Ran], softmax: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    os.mkfifo(tmp_path / "pipe.py")
    shown = refold("verify", given)
    assert (shown.code, shown.out) == (2, "")
    assert shown.err.startswith(f"error: {message}")
    assert shown.err.count("\n") == 1


def test_unreadable_file(refold: Callable[..., Ran], softmax: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", no)
    assert refold("derive", softmax) == Ran(
        2, "", "error: soft.py: cannot be read: Permission denied: check its permissions\n"
    )


def test_what_a_file_prints_stays_out_of_the_answer(refold: Callable[..., Ran], tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(SOFTMAX + "print('hello')\n")
    shown = refold("derive", "loud.py", "--format", "json")
    assert json.loads(shown.out)["status"] == "derived" and shown.err == "hello\n"


def test_a_file_may_import_its_neighbour(refold: Callable[..., Ran], softmax: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "near.py").write_text(SOFTMAX)
    (tmp_path / "sub" / "user.py").write_text("from near import SPEC\n")
    assert refold("derive", "sub/user.py").code == 0
    assert not (tmp_path / "sub" / "__pycache__").exists()


@pytest.mark.parametrize("command", ["emit", "build"])
def test_bad_output(command: str, refold: Callable[..., Ran], softmax: str, emits: Any, tmp_path: Path) -> None:
    emits(PASSES)
    shown = refold(command, softmax, "-o", "soft.py")
    assert (shown.code, shown.out) == (2, "")
    assert shown.err == "error: soft.py is a file: give a folder to write the bundle to, as in -o build/NAME\n"
    assert refold(command, softmax, "-o", "soft.py/deeper").err.startswith("error: soft.py is a file")
    shown = refold(command, softmax, "-o", "/proc/refold")
    assert shown.code == 2 and shown.err.startswith("error: /proc/refold: cannot be written to: No such file")


@pytest.mark.parametrize("command", ["check"])
def test_commands_to_come(command: str, refold: Callable[..., Ran]) -> None:
    for args in ([], ["kernel.py:f", "--against", "attention"]):
        shown = refold(command, *args)
        assert (shown.code, shown.out) == (2, "")
        assert shown.err.startswith(f"error: this version has no '{command}' yet") and shown.err.count("\n") == 1


@pytest.mark.parametrize(
    "args",
    [
        "frobnicate",
        "verify",
        "derive a b",
        "verify attention --format yaml",
        "emit attention",
        "derive --x softmax",
        "",
    ],
)
def test_bad_usage(args: str, refold: Callable[..., Ran]) -> None:
    assert refold(*args.split()).code == 2


def test_a_mistake_in_refold_is_no_verdict(
    refold: Callable[..., Ran], softmax: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise KeyError("inside")

    monkeypatch.setattr(sys.modules["refold.verify.certificate.store"], "verify", fail)
    shown = refold("verify", softmax, "--fresh")
    assert (shown.code, shown.out) == (3, "")
    as_json = refold("verify", softmax, "--fresh", "--format", "json")
    assert as_json.code == 3 and json.loads(as_json.out)["verdict"] == "error"
    assert shown.err.startswith("error: refold failed, no verdict: KeyError: 'inside': this is a mistake in refold")


def test_interrupt_is_quiet(refold: Callable[..., Ran], softmax: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["refold.verify.certificate.store"], "verify", interrupt)
    assert refold("verify", softmax, "--fresh") == Ran(130, "", "")


# --- real processes ------------------------------------------------------------------------------------------

COMMAND = [sys.executable, "-m", "refold"]


def test_closed_pipe_is_quiet(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", '"$0" -m refold derive attention | true; echo ${PIPESTATUS[0]}', sys.executable],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("141\n", "")


def on_terminal(command: list[str], folder: Path, columns: str) -> bytes:
    """What a command that ends well writes to a terminal."""
    reader, writer = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": columns}
    env.pop("NO_COLOR", None)
    with subprocess.Popen(command, cwd=folder, env=env, stdout=writer, stderr=writer) as process:
        os.close(writer)
        out = b""
        while True:
            try:
                part = os.read(reader, 4096)
            except OSError:
                break
            if not part:
                break
            out += part
    os.close(reader)
    assert process.returncode == 0
    return out


def test_terminal_gets_colour(tmp_path: Path) -> None:
    out = on_terminal([*COMMAND, "verify", "logsumexp"], tmp_path, "80")
    assert b"\x1b[32m" in out and b"verifying logsumexp" in out


def test_ascii_terminal_gets_words_for_signs(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*COMMAND, "derive", "softmax"], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "l <- l*exp(m - m') + sum_j exp(x - m')" in done.stdout and "+ derived" in done.stdout
    assert "?" not in done.stdout


def test_no_two_signs_are_one_in_ascii() -> None:
    name = ascii.register()
    signs = [*ascii.SIGNS, "é", "漢"]
    words = [sign.encode("ascii", name).decode() for sign in signs]
    alike = {"−": "-", "–": "-", "—": "-", "×": "x", "✗": "x"}
    assert all(alike[sign] == word for sign, word in zip(signs, words, strict=True) if sign in alike)
    apart = [word for sign, word in zip(signs, words, strict=True) if sign not in alike and word != ")"]
    assert len(set(apart)) == len(apart)
    assert "✓ m m′ ✗ m₁²".encode("ascii", name) == b"+ m m' x m_1^2"


@pytest.mark.parametrize("columns", ["80", "100"])
def test_a_terminal_cuts_no_name(columns: str, tmp_path: Path) -> None:
    out = on_terminal([*COMMAND, "list"], tmp_path, columns)
    assert all(path.stem.encode() in out for path in loading.catalogue())


def test_what_python_shows_fits_a_screen() -> None:
    for name in ("attention", "layer_norm", "kl"):
        plan = derive(loading.load(name).value)
        proof = verdicts(*["proved"] * 60)(plan)
        for shown in (repr(plan), repr(proof), repr(emit(proof, "fused"))):
            lines = shown.splitlines()
            assert len(lines) <= 24 and max(map(len, lines)) <= 120, shown


def test_verify_loads_neither_torch_nor_triton(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom refold.cli import main\nsys.argv = ['refold', 'verify', 'softmax']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "print(sorted({'torch', 'triton'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


# --- the names that printing gives ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", loading.catalogue(), ids=lambda path: path.stem)
def test_the_printed_pipeline_is_the_pipeline(path: Path) -> None:
    spec = loading.load(str(path)).value
    rows = dict(spec.equations())
    for output in spec.outputs:
        shown = next(right for left, right in rows.items() if getattr(left, "name", str(left)) == output.name)
        while any(left in rows for left in shown.atoms(*(type(left) for left in rows))):
            shown = shown.xreplace(rows)
        # The name of a sum of squares is one of no negative number, so that a root of products of them is parted.
        parted = sp.expand_power_base(shown - output.expr, force=True)
        assert parted.expand() == 0


def test_file_starts_with_its_one_job() -> None:
    for path in (ROOT / "report").glob("*.py"):
        assert ast.get_docstring(ast.parse(path.read_text()))


# --- recheck --------------------------------------------------------------------------------------------------


def test_recheck(refold: Callable[..., Ran], softmax: str, tmp_path: Path) -> None:
    assert refold("emit", softmax, "-o", "out").code == 0
    shown = refold("recheck", "out/soft.proof.json", "--lean", "soft.lean")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith("holds soft: 54 obligations")
    assert "closed by Z3 and cvc5 both" in shown.out and "no certificate: structure (by inspection)" in shown.out
    assert (tmp_path / "soft.lean").read_text().count("theorem ") > 10
    found = json.loads((tmp_path / "out/soft.proof.json").read_text())
    (tmp_path / "changed.json").write_text(json.dumps({**found, "name": "another"}))
    shown = refold("recheck", "changed.json")
    assert shown.code == 1 and shown.out.startswith("rejected changed.json: the file is not the one")
    shown = refold("recheck", "out/soft.proof.json", "--against", softmax)
    assert shown.code == 0 and "obligations derived anew from" in shown.out
    shown = refold("recheck", "out/soft.proof.json", "--against", "logsumexp")
    assert shown.code == 1 and "it is no proof of" in shown.out
    kernel = tmp_path / "out/soft.py"
    kernel.write_text(kernel.read_text() + "# edited\n")
    shown = refold("recheck", "out/soft.proof.json")
    assert shown.code == 1 and "soft.py beside it is not the kernel" in shown.out


@pytest.mark.parametrize(
    ("text", "error"), [("{", "is not JSON"), ("[1]", "is no proof file"), ("{}", "no proof file")]
)
def test_recheck_of_what_is_no_proof(text: str, error: str, refold: Callable[..., Ran], tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(text)
    shown = refold("recheck", "p.json")
    assert (shown.code, shown.out) == (2, "") and error in shown.err and shown.err.count("\n") == 1
    assert "cannot be read" in refold("recheck", "missing.json").err


def test_a_proof_is_kept(refold: Callable[..., Ran], softmax: str) -> None:
    assert "obligations proved in" in refold("verify", softmax).out
    assert "54 of 54 obligations proved earlier, and rechecked now" in refold("verify", softmax).out
    assert "obligations proved in" in refold("verify", softmax, "--fresh").out
