"""Measures emitted kernels at small sizes in Triton's interpreter, and prints what was found as JSON: run by a test."""

import importlib
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from refold import derive, emit
from refold.measure import peers, run, tuning
from refold.measure.build import case_of
from refold.measure.case import Call, read
from refold.verify.certificate import store

WANTED = ("eager", "SDPA flash", "library", "Liger")
SMALL = {"h": 4, "g": 2, "d": 16, "e": 16}


def bundle(name, folder):
    proof = store.verified(derive(importlib.import_module(f"refold.examples.{name}").SPEC))
    emit(proof, name).write(folder)
    case = case_of(proof.plan, name)
    sizes = {a: min(n, SMALL.get(a, 8)) for a, n in case.sizes.items()}
    lead = tuple(min(n, 2) for n in case.lead)
    path = replace(case, sizes=sizes, lengths=(24, 40), budget=400, lead=lead).write(folder)
    return read(path)


def measured(name, folder, change=lambda case: case):
    return run.measure(change(bundle(name, folder)), folder, "cpu", WANTED)


def tuned(name, folder):
    """Twice, the second time with what the first kept; few configurations are timed."""
    tuning.SECONDS = 1
    case = bundle(name, folder)
    first, again = (run.measure(case, folder, "cpu", (), tuning=folder / "tuned.json") for _ in range(2))
    module = run.drawing.load(folder, name)
    keys = []
    for length, dtype in ((600, "float16"), (1000, "float16"), (1100, "float16"), (600, "bfloat16")):
        inputs = run.drawing.draw(replace(case, dtype=dtype), module, case.at(length), "cpu")
        keys.append(tuning._key(tuning.Tuner(module, name, inputs, {}, "cpu"), case.spec))
    wide = replace(case, sizes=case.sizes | {"d": 128, "e": 128}, lengths=(512,))
    inputs = run.drawing.draw(wide, module, wide.at(512), "cpu")
    tuner = tuning.Tuner(module, name, inputs, {}, "cpu")
    tiles = ((128, 64, 4, 2), (128, 128, 4, 2), (128, 128, 8, 3), (128, 128, 8, 4))
    words = [dict(zip(("block_m", "block_n", "num_warps", "num_stages"), t, strict=True)) for t in tiles]
    return {
        "first": first, "again": again, "keys": keys, "fit": [tuning.fits(tuner, w) for w in words],
        "offered": [w in [*tuning.candidates(tuner)] for w in words],
    }  # fmt: skip


def wrong(name, folder):
    """With a sum that is off."""
    case = bundle(name, folder)
    path = folder / f"{name}.py"
    text = path.read_text()
    assert "tl.sum(p, 1)" in text
    path.write_text(text.replace("tl.sum(p, 1)", "1.1 * tl.sum(p, 1)"))
    return run.measure(case, folder, "cpu", ())


def fails(name, folder):
    """With a launcher that raises."""
    case = bundle(name, folder)
    with (folder / f"{name}.py").open("a") as file:
        file.write(f"\n\ndef {name}(*args, **words):\n    raise RuntimeError('out of luck')\n")
    return run.measure(case, folder, "cpu", ())


def cut(name, folder):
    """What the reference of a part says where all of it has no room, and of a kernel that is wrong in that part."""
    case = bundle(name, folder)
    size = case.at(40)
    module = run.drawing.load(folder, name)
    inputs = run.drawing.draw(case, module, size, "cpu")
    result = module.reference(*inputs.values())
    room = run.exact(case, module, inputs, size, 4 * 40 * 40 * 8 * 10 - 1)
    last, first = result.clone(), result.clone()
    last[..., -1, :, :] += 0.1
    first[..., 0, :, :] += 0.1
    return {
        "last": room.judge({"o": last}).correct,
        "first": room.judge({"o": first}).correct,
        "size": room.size,
        "right": room.judge({"o": result}).correct,
        "wrong": room.judge({"o": result + 0.1}).correct,
        "nan": room.judge({"o": torch.full_like(result, torch.nan)}).error,
        "none": run.exact(case, module, inputs, size, 1.0) is None,
    }


def others(case):
    """Peers that do something else, or fail."""
    return replace(case, calls=(Call("F.other", "torch.relu(x)"), Call("F.none", "torch.relu(x, 3, 4)")))


with tempfile.TemporaryDirectory() as root:
    folders = iter(Path(root) / str(n) for n in range(9))
    print(json.dumps({
        "gqa": measured("gqa", next(folders)),
        "softmax": measured("softmax", next(folders)),
        "others": measured("softmax", next(folders), others),
        "tuned": tuned("gqa", next(folders)),
        "wrong": wrong("causal_attention", next(folders)),
        "fails": fails("softmax", next(folders)),
        "cut": cut("gqa", next(folders)),
        "names": list(peers.NAMES),
    }))  # fmt: skip
