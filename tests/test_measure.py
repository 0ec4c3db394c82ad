"""What `refold bench` measures and shows: its data, its lines, its picture; run for real in Triton's interpreter."""

import importlib
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from refold.errors import UsageError
from refold.measure import lines
from refold.measure.case import Case, adjusted, found, read
from refold.measure.chart import _apart, chart, unit_of
from refold.report import benching, pretty

HERE = Path(__file__).parent
CASE = Case("soft", "y = …", {"i": 8, "j": 8}, ("j",), (16, 32), "bfloat16", fill="i", budget=256, scalars={"cap": 0.5})


@pytest.fixture(scope="module")
def results() -> Any:
    env = os.environ | {"TRITON_INTERPRET": "1"}
    command = [sys.executable, "-W", "ignore", str(HERE / "measure_cases.py")]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def shape(value: Any) -> Any:
    """Data with its figures replaced by their types."""
    match value:
        case dict():
            return {k: shape(v) for k, v in value.items()}
        case list():
            return [shape(v) for v in value]
        case bool() | str() | None:
            return value
    return type(value).__name__


@pytest.mark.parametrize("name", ["gqa", "softmax"])
def test_structure(name: str, results: Any, golden: Callable[[str, str], None]) -> None:
    data = shape({k: v for k, v in results[name].items() if k not in ("versions", "date", "spec")})
    golden(f"{name}.json", json.dumps(data, indent=1) + "\n")


@pytest.mark.parametrize("name", ["gqa", "softmax"])
def test_kernel_and_peers_agree_with_float64(name: str, results: Any) -> None:
    for run in results[name]["runs"]:
        assert run["correct"] is True and 0 < run["error"] <= run["bound"]
        assert [t["name"] for t in run["times"] if "note" in t] == []
        assert run["times"][0]["ratio"] == 1 and all(t["ms"] > 0 for t in run["times"])


def test_work_is_that_of_the_sizes(results: Any) -> None:
    (run, _), n = results["gqa"]["runs"], 24
    assert run["flops"] == 2 * 2 * 4 * n * n * 16
    assert run["bytes"] == 2 * (2 * 4 * n * 16 + 2 * 2 * n * 16)
    (run, _) = results["softmax"]["runs"]
    assert (run["flops"], run["sizes"]) == (0, {"i": 400 // n, "j": n})


def test_tuning_gives_a_line_that_runs_and_keeps_it(results: Any) -> None:
    first, again = results["tuned"]["first"]["runs"][0], results["tuned"]["again"]["runs"][0]
    line, kept = first["times"][1], again["times"][1]
    assert [line["name"], kept["name"]] == ["refold, tuned"] * 2 and first["correct"]
    assert 0 < line["error"] <= first["bound"]
    pinned = line["note"].partition(")")[0]
    assert pinned.startswith("gqa(q, k, v") and kept["note"].startswith("gqa(q, k, v")
    assert "left out)" in line["note"] and kept["note"].endswith(" (kept)")
    words = lambda note: sorted(note.partition(")")[0].removeprefix("gqa(").split(", "))  # noqa: E731
    assert words(line["note"]) == words(kept["note"])


def test_what_is_alike_is_tuned_once(results: Any) -> None:
    one, alike, longer, other = results["tuned"]["keys"]
    assert one == alike and len({one, longer, other}) == 3


def test_tiles_beyond_registers_and_shared_memory_are_not_compiled(results: Any) -> None:
    # 128 x 128 scores of four warps are 256 registers a thread; four stages of two 128 x 128 tiles are 288 KB.
    assert results["tuned"]["offered"] == [True] * 4
    assert results["tuned"]["fit"] == [True, False, True, False]


def test_a_wrong_kernel_is_refuted(results: Any) -> None:
    assert [run["correct"] for run in results["wrong"]["runs"]] == [False, False]
    assert lines.verdict(results["wrong"]) == "refuted"
    assert lines.remarks(results["wrong"])[0].startswith("refuted at length 24: WRONG, all of it: error")
    assert lines.verdict(results["gqa"]) == "proved"


def test_a_kernel_that_fails_is_told_and_the_rest_goes_on(results: Any) -> None:
    runs = results["fails"]["runs"]
    assert [(run["correct"], run["checked"], run["times"]) for run in runs] == 2 * [
        (False, "fails: RuntimeError: out of luck", [])
    ]
    assert lines.remarks(results["fails"])[0] == "refuted at length 24: fails: RuntimeError: out of luck"
    assert "out of luck" in lines.plain(results["fails"]) and ET.fromstring(chart(results["fails"])) is not None


def test_the_whole_table_as_markdown(golden: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE.parent / "bench"))
    figures = importlib.import_module("figures")
    for module in ("figures", "operators"):
        monkeypatch.delitem(sys.modules, module)

    def told(**ms: float | None) -> dict[str, Any]:
        times = [{"name": n.replace("_", " "), "ms": 2.0, "graph_ms": m} for n, m in ms.items()]
        return {"length": 1024, "bytes": 4e9, "correct": True, "checked": "all of it", "times": times}

    failing = {"length": 4096, "correct": False, "checked": "fails: RuntimeError: x", "times": []}
    about = {"device": "none", "versions": {"torch": "0"}, "date": "today",
             "ceilings": {"copy_gbs": 8000.0, "matmul_tflops": 700.0}}  # fmt: skip
    text = figures.markdown({"seconds": 3.0, "operators": {
        "attention": about | {"runs": [told(refold=1.0, FlexAttention=2.0, SDPA_flash=0.5, SDPA_cuDNN=0.8), failing]},
        "decode_alibi": about | {"runs": [told(**{"refold": 1.0, "refold, tuned": 0.5, "FlexAttention": 8.0})]},
        "softmax": about | {"runs": [told(**{"refold": 1.0, "torch.compile": 3.0, "F.softmax": None})]},
    }})  # fmt: skip
    golden("table.md", text)


def test_the_table_on_a_terminal_has_every_line(results: Any) -> None:
    shown = pretty.plain(benching.table(results["softmax"]))
    assert all(name in shown for name in ("refold", "eager", "F.softmax", "correct at length 40: error"))
    assert "without Liger softmax: cannot be imported" in " ".join(shown.split())
    assert "refuted at length 24: WRONG" in " ".join(pretty.plain(benching.table(results["wrong"])).split())


def test_a_part_is_checked_where_all_of_it_has_no_room(results: Any) -> None:
    assert results["cut"]["size"] == {"d": 16, "e": 16, "g": 1, "h": 1, "i": 40, "j": 40}
    assert (results["cut"]["right"], results["cut"]["wrong"], results["cut"]["none"]) == (True, False, True)
    assert results["cut"]["nan"] == float("inf")
    assert (results["cut"]["last"], results["cut"]["first"]) == (False, True)


def test_a_peer_that_differs_is_told_and_one_that_fails_is_left_out(results: Any) -> None:
    run = results["others"]["runs"][0]
    (other,) = [t for t in run["times"] if t["name"] == "F.other"]
    assert other["note"].startswith("error") and other["note"].endswith("is allowed")
    assert {m["name"]: m["why"] for m in run["missing"]}["F.none"].startswith("fails: TypeError: relu()")


def made_up(ceilings: dict[str, float], flops: float = 1e12) -> dict[str, Any]:
    def line(name: str, ms: float, graph: float | None = None) -> dict[str, Any]:
        return {"name": name, "ms": ms, "graph_ms": graph, "host_us": 9.0, "first_ms": 90.0, "ratio": ms / 2,
                "graph_ratio": None, "error": 1e-3}  # fmt: skip

    runs = [
        {"length": n, "sizes": {"i": n, "d": 64}, "flops": flops, "bytes": 1e9, "correct": None, "checked": "nothing",
         "times": [line("refold", 2.0, 1.0), line("A & B <c>", 3.0), line("same speed", 3.0)],
         "missing": [{"name": "X", "why": "no"}, {"name": "Y", "why": "no"}]}
        for n in (256, 131072)
    ]  # fmt: skip
    return {"name": "made_up", "dtype": "float16", "device": "none", "versions": {"torch": "0"}, "date": "today",
            "scalars": {"cap": 50.0}, "lead": [1, 32], "sweep": ["i", "j"], "ceilings": ceilings,
            "runs": runs}  # fmt: skip


@pytest.mark.parametrize("ceilings", [{}, {"copy_gbs": 4000.0, "matmul_tflops": 700.0}], ids=["none", "both"])
def test_picture_is_well_formed_and_has_every_series(ceilings: dict[str, float]) -> None:
    root = ET.fromstring(chart(made_up(ceilings)))
    space = "{http://www.w3.org/2000/svg}"
    groups = [g for g in root.iter(f"{space}g") if g.get("class") == "series"]
    assert {g.get("data-name") for g in groups} == {"refold", "A & B <c>", "same speed"}
    assert all(len(list(g.iter(f"{space}circle"))) == 2 for g in groups)
    words = [t.text for t in root.iter(f"{space}text")]
    assert {"made_up", "length of i = j", "TFLOP/s", "256", "131072", "refold", "A & B <c>"} <= set(words)
    assert ("bf16 product, 700 TFLOP/s" in words) is bool(ceilings)
    for circle in root.iter(f"{space}circle"):
        assert 0 < float(circle.get("cx", "")) < 860 and 0 < float(circle.get("cy", "")) < 520


def test_picture_puts_faster_higher() -> None:
    root = ET.fromstring(chart(made_up({})))
    space = "{http://www.w3.org/2000/svg}"
    height = {g.get("data-name"): float(c.get("cy", "")) for g in root.iter(f"{space}g")
              if g.get("class") == "series" for c in g.iter(f"{space}circle")}  # fmt: skip
    assert height["refold"] < height["same speed"] == height["A & B <c>"]


def test_labels_are_a_line_apart_and_within_the_picture() -> None:
    for places in ([100.0, 101.0, 102.0, 300.0], [440.0, 450.0, 455.0, 456.0], [456.0]):
        moved = _apart(places)
        assert all(b - a >= 17.999 for a, b in pairwise(moved)) and moved[-1] <= 456


@pytest.mark.parametrize(("flops", "unit"), [(1e12, "TFLOP/s"), (1e9, "GB/s"), (0, "GB/s")])
def test_unit_is_that_of_what_bounds_it(flops: float, unit: str) -> None:
    assert unit_of(made_up({"copy_gbs": 4000.0, "matmul_tflops": 700.0}, flops))[0] == unit


def test_plain_text(golden: Callable[[str, str], None]) -> None:
    golden("plain.txt", lines.plain(made_up({"copy_gbs": 4000.0, "matmul_tflops": 700.0})))


def test_unchecked_is_unknown() -> None:
    assert lines.verdict(made_up({})) == "unknown"


def test_case_is_read_as_written(tmp_path: Path) -> None:
    from refold.measure.case import Attention, Call

    attention = Attention("q", "k", "v", ("h",), ("g",), "i", "j", "d", "e", "1", "m", "s", True)
    case = replace(CASE, attention=attention, calls=(Call("a", "b"),), integers={"t": ("j", None)}, dots=(("i", "j"),),
                   cut=("h", "g"), held=("i",), lead=(1, 2), led=("q",))  # fmt: skip
    assert read(case.write(tmp_path)) == case
    assert found(tmp_path) == (tmp_path / "soft.bench.json",)


def test_sizes() -> None:
    assert CASE.at(32) == {"i": 8, "j": 32}
    assert adjusted(CASE, ["i=3"]).at(32) == {"i": 3, "j": 32}
    assert adjusted(CASE, ["j=5"]).at(7) == {"i": 51, "j": 5}
    swept = adjusted(CASE, ["i=5,6"], dtype="float32", scalars=["cap=2"])
    assert (swept.sweep, swept.lengths, swept.at(6)) == (("i",), (5, 6), {"i": 6, "j": 8})
    assert (swept.dtype, swept.scalars) == ("float32", {"cap": 2.0})
    assert adjusted(CASE, lengths="64").lengths == (64,)
    assert adjusted(replace(CASE, led=("x",)), lead="2,16").lead == (2, 16)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"sizes": ["z=3"]}, "z is no axis of soft: give one of i, j, as in j=1024"),
        ({"sizes": ["j"]}, "'j' is no NAME=VALUE: write it as in j=1024"),
        ({"sizes": ["j=0"]}, "j=0: give positive integers, separated by commas"),
        ({"sizes": ["j=a"]}, "j=a: give positive integers, separated by commas"),
        ({"sizes": ["j=1,2", "i=3,4"]}, "axes swept together have the same lengths: give one list for all of them, "
                                        "as in --lengths"),
        ({"sizes": ["j=1,2"], "lengths": "3"}, "both --sizes and --lengths give a list: give one of them"),
        ({"lead": "2"}, "no tensor of soft takes leading dimensions: drop --lead"),
        ({"lengths": ""}, None),
        ({"scalars": ["x=1"]}, "x is no scalar of soft, which has cap: give one of them, as in cap=50"),
        ({"scalars": ["cap=big"]}, "cap=big is no number: give one, as in cap=50"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(wish: Any, message: str | None) -> None:
    if message is None:
        assert adjusted(CASE, **wish) == CASE
        return
    with pytest.raises(UsageError) as error:
        adjusted(CASE, **wish)
    assert str(error.value) == message


def test_a_folder_without_cases(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no \*\.bench\.json in it: write a bundle there with 'refold bench SPEC -o"):
        found(tmp_path)
    (tmp_path / "a.bench.json").write_text("{}")
    with pytest.raises(UsageError, match="written by another version"):
        read(tmp_path / "a.bench.json")


def on_no_gpu(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    hidden = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | {"CUDA_VISIBLE_DEVICES": ""} | env
    return subprocess.run([sys.executable, "-m", *args], capture_output=True, text=True, env=hidden, cwd=HERE.parent)


def test_without_a_gpu_one_message() -> None:
    done = on_no_gpu("refold", "bench", "softmax")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: torch sees no GPU on this machine: run it where there is one, or write the bundle here with 'refold "
        "bench SPEC -o DIR', carry DIR over, and run 'python -m refold.measure DIR' there, which needs torch and "
        "triton alone\n"
    )


def test_without_a_gpu_the_bundle_is_written_on_request(tmp_path: Path) -> None:
    done = on_no_gpu("refold", "bench", "softmax", "-o", str(tmp_path), "--sizes", "j=64,128 i=7")
    assert done.returncode == 0, done.stderr
    assert f"python -m refold.measure {tmp_path.name}" in " ".join(done.stdout.split())
    case = read(tmp_path / "softmax.bench.json")
    assert (case.sweep, case.lengths, case.at(64)) == (("j",), (64, 128), {"i": 7, "j": 64})
    assert [c.label for c in case.calls] == ["F.softmax", "Liger softmax"]
    assert (tmp_path / "softmax.py").exists()


def test_the_interpreter_is_not_timed() -> None:
    done = on_no_gpu("refold.measure", ".", TRITON_INTERPRET="1")
    assert done.returncode == 2 and done.stderr.startswith("error: TRITON_INTERPRET=1 is set")


def test_measuring_loads_no_solver_and_no_spec() -> None:
    code = "import sys, refold.measure.run, refold.measure.chart, refold.measure.lines; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert "refold.measure.run" in loaded
    assert not loaded & {"z3", "cvc5", "rich", "typer", "refold.spec", "refold.algebra", "refold.verify", "refold.emit"}
