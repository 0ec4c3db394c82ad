"""Keeps pytest from importing the repository root under the name of its folder."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


class RootIsNotATestPackage:
    """The root has an __init__.py, which pytest would import as `main`, say, beside the `refold` it is."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        return pytest.Dir.from_parent(parent, path=path) if path == ROOT else None


def pytest_configure(config: pytest.Config) -> None:
    # Registered, because the hooks of a conftest.py do not see the folders above it.
    config.pluginmanager.register(RootIsNotATestPackage())
