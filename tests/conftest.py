import gc
import os
import random
import sys

import pytest
from hypothesis import settings
from sampling import SEED, WIDE

pytest.register_assert_rewrite("pages", "untouched")

# What tests answer is nobody's progress.
os.environ["VGGLAB_HOME"] = ""
# Sums are taken in one order. Processes that tests start read this; for this one, see below.
os.environ["OMP_NUM_THREADS"] = "1"

# The same examples in every run, however slow the machine.
settings.register_profile("vgglab", deadline=None, derandomize=True, max_examples=20)
settings.register_profile("wide", deadline=None, derandomize=True, max_examples=100)
settings.load_profile("wide" if WIDE else "vgglab")


def pytest_addoption(parser):
    parser.addoption("--overwrite", action="store_true", help="write the golden files anew")


def pytest_report_header():
    return f"vgglab sample seed: {SEED}{' (everything)' if WIDE else ''}"


def pytest_collection_modifyitems(items):
    for item in items:
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker("sampled")


def pytest_collection_finish():
    # What has been imported by now stays to the end: half a second for each full collection.
    gc.freeze()


@pytest.fixture(autouse=True)
def same_start():
    """Give every test the same random numbers, one thread and float32, whatever ran before it."""
    random.seed(0)
    if numpy := sys.modules.get("numpy"):  # tests of pages need neither
        numpy.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)
        torch.set_num_threads(1)
        torch.set_default_dtype(torch.float32)
    yield
    if torch := sys.modules.get("torch"):
        torch.set_default_dtype(torch.float32)


def pytest_terminal_summary(terminalreporter):
    """Say how much of the processor this run took, with all processes that it started."""
    if not hasattr(terminalreporter.config, "workerinput"):
        used = os.times()
        seconds = used.user + used.system + used.children_user + used.children_system
        terminalreporter.write_line(
            f"processor time: {seconds:.0f} s in all, "
            f"{used.children_user + used.children_system:.0f} s of them in other processes"
        )
