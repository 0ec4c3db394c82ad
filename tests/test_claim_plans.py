"""Kernels of claimed forms: what their plans compute, that they are proved like derived ones, and which have none."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from refold.algebra.monoid import monoid
from refold.errors import ClaimError
from refold.report.loading import load
from refold.verify import Claim, verify
from refold.verify.claim.form import form_of
from refold.verify.claim.plan import plan_of
from refold.verify.claim.run import run_claim
from refold.verify.refute.replay import run_form
from refold.verify.refute.samples import sample

FOLDER = Path(__file__).parent / "claimed"
FORMS = ("attention-flash2", "attention-normalised", "causal_attention-guarded", "entropy-rank_two",
         "logsumexp-of_nothing", "sigmoid_attention-additive", "softmax-online", "sum-window")  # fmt: skip
REFUSED = {
    "attention-lse_of_parts": "step takes o from an element and the state at once",
    "attention_sink-starts": "init gives m another value than the max of no element",
    "layer_norm-welford_chan": "step takes M2 from an element and the state at once",
    "logsumexp-one_number": "step takes lse from an element and the state at once",
}
# Emits a form at the command line, then runs what was written beside what torch says.
CODE = """import sys, torch
import refold
f = refold.load("bundle")
q, k, v = torch.randn(5, 16), torch.randn(37, 16), torch.randn(37, 16)
want = torch.softmax(q @ k.T / 4, 1) @ v
for options in ({"schedule": "rolling"}, {"schedule": "split", "splits": 3}):
    assert torch.allclose(f(q, k, v, **options), want, atol=1e-5)
print("done")
"""


def claim_of(name: str) -> Claim:
    claim = load(str(FOLDER / f"{name}.py"), ("CLAIM",)).value
    assert isinstance(claim, Claim)
    return claim


@pytest.mark.parametrize("name", FORMS)
def test_the_plan_is_the_form(name: str) -> None:
    """In every order, wherever the claim has a value: its parts may not be empty, and the plan's may."""
    claim = claim_of(name)
    plan = plan_of(claim)
    form, mine = monoid(plan), form_of(claim)
    assert len(form.state) == len(mine.state)
    rng = random.Random(0)
    orders = [(0, 1, 2, 3), (3, 1, 0, 2)] + ([((0, 1), (2, 3)), ((2,), (0, 3), (1,))] if claim.merge else [])
    for attempt in (6, 8, 9):
        inputs = sample(claim.spec, plan.axis, 4, 3, attempt, rng)
        for order in orders:
            got, want = run_form(form, inputs, order), run_claim(mine, inputs, order)
            for output in want:
                known = ~np.isnan(want[output])
                np.testing.assert_allclose(got[output][known], want[output][known], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["attention-normalised", "entropy-rank_two", "softmax-online"])
def test_the_plan_is_proved_like_a_derived_one(name: str) -> None:
    report = verify(plan_of(claim_of(name)))
    assert report.verdict == "proved", str(report)
    assert {"structure", "empty"} <= {r.name for r in report.results}


@pytest.mark.parametrize("name", REFUSED)
def test_a_form_without_a_kernel_says_why(name: str) -> None:
    with pytest.raises(ClaimError, match=REFUSED[name]):
        plan_of(claim_of(name))


def test_a_wrong_form_has_no_proof() -> None:
    """Taken as a plan it is refuted too: nothing rests on the claim's own verdict."""
    claim = load(str(FOLDER.parent / "rejected" / "softmax-exponent_halved.py"), ("CLAIM",)).value
    assert verify(plan_of(claim), stop=True).verdict != "proved"


def test_a_form_is_emitted_as_it_is(tmp_path: Path) -> None:
    env = {**os.environ, "TRITON_INTERPRET": "1", "REFOLD_CACHE": str(tmp_path / "cache")}

    def run(*args: str) -> str:
        done = subprocess.run([sys.executable, "-W", "ignore", *args], cwd=tmp_path, env=env, capture_output=True,
                              text=True)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("-m", "refold", "emit", str(FOLDER / "attention-normalised.py"), "-o", "bundle")
    source = (tmp_path / "bundle" / "attention_normalised.py").read_text(encoding="utf-8")
    # FlashAttention-1: the output is divided at every tile, and not at the end.
    assert "1.0 / l_hat" in source
    assert run("-c", CODE) == "done\n"
    said = run("-m", "refold", "recheck", "bundle/attention_normalised.proof.json", "--against",
               str(FOLDER / "attention-normalised.py"))  # fmt: skip
    assert "derived anew" in said
