"""Set-up shared by all tests: checked annotations, one thread, and two depths of property tests."""

import pytest
import torch
from hypothesis import settings
from jaxtyping import install_import_hook

import tests.typecheck  # noqa: F401  # the hook below names it

torch.set_num_threads(1)
settings.register_profile("fast", max_examples=20, deadline=None, derandomize=True)
settings.register_profile("thorough", max_examples=500, deadline=None)
settings.load_profile("fast")
install_import_hook("basinscope", "tests.typecheck.checked")
pytest_plugins = ["tests.smoke", "tests.report.browser"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the fault tests."""
    parser.addoption("--kills", type=int, default=2, help="how often a run of everything is killed at random")
    parser.addoption("--write-faults", default="", help="file into which the table of faults and outcomes is written")
