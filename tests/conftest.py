import gc
import os

from hypothesis import settings

# What tests answer is nobody's progress.
os.environ["VGGLAB_HOME"] = ""

# The same examples in every run, however slow the machine.
settings.register_profile("vgglab", deadline=None, derandomize=True)
settings.load_profile("vgglab")


def pytest_addoption(parser):
    parser.addoption("--overwrite", action="store_true", help="write the golden files anew")


def pytest_collection_finish():
    # What has been imported by now stays to the end: half a second for each full collection.
    gc.freeze()
