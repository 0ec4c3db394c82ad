"""Golden files, one profile of Hypothesis, and what keeps pytest from importing the root under its folder's name."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support.examples import waits

ROOT = Path(__file__).parents[1]

# No test may fail because the machine is busy: no example has a deadline, and none is reported for being slow.
settings.register_profile("refold", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("refold")


class RootIsNotATestPackage:
    """The root has an __init__.py, which pytest would import as `main`, say, beside the `refold` it is."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        return pytest.Dir.from_parent(parent, path=path) if path == ROOT else None


def pytest_configure(config: pytest.Config) -> None:
    # Registered, because the hooks of a conftest.py do not see the folders above it.
    config.pluginmanager.register(RootIsNotATestPackage())
    if not hasattr(config, "workerinput"):
        # Proofs and kernels that were kept are none of the user's, nor of another run; workers inherit the folder.
        folder = tempfile.mkdtemp(prefix="refold-tests-")
        os.environ.update(
            REFOLD_CACHE=f"{folder}/refold", TRITON_CACHE_DIR=f"{folder}/triton", XDG_STATE_HOME=f"{folder}/state"
        )
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


# What takes more than two seconds and is not the one test of its kind: by node id, or by the beginning of several.
SLOW = frozenset((ROOT / "tests" / "slow.txt").read_text(encoding="utf-8").splitlines())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        test = item.nodeid.partition("[")[0].removeprefix("tests/")
        params = item.callspec.params if hasattr(item, "callspec") else {}
        if any(waits(test, params.get(word)) for word in ("name", "example")):
            item.add_marker("slow")
        if SLOW & {item.nodeid, item.nodeid.partition("[")[0], item.nodeid.partition("::")[0]}:
            item.add_marker("slow")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write what the tests got into tests/golden")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden("attention.txt", text)`: the text is that of tests/golden/<test file>/attention.txt."""
    folder = ROOT / "tests" / "golden" / request.path.stem
    update = request.config.getoption("--update-golden")

    def check(name: str, text: str) -> None:
        path = folder / name
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"{path} is missing: run pytest --update-golden and read what it wrote"
        assert text == path.read_text(encoding="utf-8"), "read the difference; if it is right: pytest --update-golden"

    return check
