"""Times every operator of the speed table beside its peers, in one run on one GPU; prints the table as markdown.

python bench/table.py emit FOLDER      derives, proves and emits all of them into FOLDER: no GPU is needed
python bench/table.py run FOLDER       on the GPU, which needs torch, triton and this folder; options: --help
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

from figures import markdown
from operators import OPERATORS, ROOT, Operator

from refold.measure.case import Case, read

ATTENTION = ("FlexAttention", "SDPA flash", "SDPA cuDNN")
ROWS = ("eager", "torch.compile", "library", "Liger")
COMPILED = ("FlexAttention", "torch.compile")


def emit(folder: Path, only: list[str]) -> None:
    """Writes the bundle of every operator, and what to measure of it."""
    from refold.measure.build import case_of
    from refold.report.loading import load
    from refold.report.steps import emit_loaded, verify_loaded

    for operator in chosen(only):
        loaded = load(str(ROOT / operator.path))
        proof = verify_loaded(loaded, "pretty")
        if proof is None or proof.verdict != "proved":
            raise SystemExit(f"{operator.path} is not proved: no kernel")
        target = folder / operator.name
        target.mkdir(parents=True, exist_ok=True)
        emit_loaded(proof, loaded, target)
        operator.case(case_of(proof.plan, operator.name)).write(target)
        print(f"{operator.name}: proved and emitted", flush=True)


def chosen(only: list[str]) -> list[Operator]:
    unknown = set(only) - {o.name for o in OPERATORS}
    if unknown:
        raise SystemExit(
            f"no operator {', '.join(sorted(unknown))}: give some of {', '.join(o.name for o in OPERATORS)}"
        )
    return [o for o in OPERATORS if not only or o.name in only]


def case_in(folder: Path, operator: Operator, lengths: tuple[int, ...]) -> Case:
    case = read(folder / operator.name / f"{operator.name}.bench.json")
    return replace(case, lengths=lengths) if lengths else case


def compile_ahead(folder: str, name: str, length: int) -> str:
    """In a process of its own: calls what torch compiles once, so that its caches on disk have it."""
    import torch

    from refold.measure import inputs as drawing
    from refold.measure import peers

    operator = next(o for o in OPERATORS if o.name == name)
    case = case_in(Path(folder), operator, (length,))
    module = drawing.load(Path(folder) / name, name)
    size = case.at(length)
    given = drawing.draw(case, module, size, "cuda")
    wanted = COMPILED[:1] if operator.kind != "rows" else COMPILED[1:]
    for make in peers.makers(case, module, given, size, 2e10, wanted).values():
        peer = make()
        if isinstance(peer, peers.Peer):
            with contextlib.suppress(Exception):  # what fails here fails, and is told, when it is measured
                peer.run()
    torch.cuda.synchronize()
    return f"{name} {length}"


def run(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All figures: `operators`, each what `refold bench` finds of it, and how long the whole took."""
    start = time.time()
    lengths = tuple(int(n) for n in options.lengths.split(",")) if options.lengths else ()
    picked = chosen(options.only)
    cases = {o.name: case_in(folder, o, lengths) for o in picked}
    work = [(o.name, n) for o in picked for n in cases[o.name].lengths]
    if options.jobs > 1:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(options.jobs, mp_context=context) as pool:
            for done in as_completed([pool.submit(compile_ahead, str(folder), *w) for w in work]):
                if done.exception() is not None:
                    say(start, f"compiling ahead failed: {done.exception()}")
        say(start, "compiled ahead")
    from refold.measure import timing
    from refold.measure.run import measure

    ceilings = timing.ceilings("cuda")
    found: dict[str, Any] = {"operators": {}}
    for operator in picked:
        wanted = ROWS if operator.kind == "rows" else ATTENTION
        case = cases[operator.name]
        found["operators"][operator.name] = measure(
            case, folder / operator.name, "cuda", wanted, ceilings=ceilings, tuning=options.tune
        )
        for told in found["operators"][operator.name]["runs"]:
            rates = ", ".join(f"{t['name']} {t['ms']:.4g}/{t['graph_ms'] or 0:.4g}" for t in told["times"])
            say(start, f"{operator.name} {told['length']}: {told['checked']}; ms, as a graph: {rates}")
    return found | {"seconds": time.time() - start}


def say(start: float, what: str) -> None:
    print(f"{time.time() - start:5.0f} s  {what}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("action", choices=("emit", "run"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="these operators alone")
    parser.add_argument("--lengths", default="", metavar="N,N", help="these lengths instead of the table's")
    parser.add_argument("--jobs", type=int, default=8, help="processes that compile the peers ahead; 1 for none")
    parser.add_argument("--tune", type=Path, metavar="FILE", help="look for faster tiles too, kept there: takes longer")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures, as one object")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="the table, beside printing it")
    options = parser.parse_args()
    if options.action == "emit":
        emit(options.folder, options.only)
        return
    found = run(options.folder, options)
    text = markdown(found)
    print(text)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if options.markdown:
        options.markdown.write_text(text, encoding="utf-8")
    wrong = [o["name"] for o in found["operators"].values() if not all(run["correct"] for run in o["runs"])]
    if wrong:
        raise SystemExit(f"wrong, failing or not checked: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
