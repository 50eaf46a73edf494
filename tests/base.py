"""Run the tests that need the base package alone, in an environment that has nothing else.

    python tests/base.py                                # the newest versions of what it requires
    python tests/base.py --resolution lowest-direct     # the oldest that pyproject.toml allows

The environment, ``.venv-base``, is that of the Python that runs this: Linux, macOS and Windows.
Further arguments go to pytest.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv-base"
PYTHON = FOLDER / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

TOOLS = ("pytest", "hypothesis", "jsonschema")
"""What is installed beside the base package, of the extra for tests."""

# Tests that import more than the base package requires, each with what it needs. All others run.
NEED_MORE = {
    "browser": "playwright and the built book",
    "test_about.py": "the tools of the book",
    "test_attacks.py::test_a_free_point_a_leak_and_an_attack_each_turn_the_proof_red": "nbformat",
    "test_attacks.py::test_numbers_made_with_another_grader_are_said": "nbformat",
    "test_attacks.py::test_what_hides_a_broken_rule_gains_nothing": "SciPy",
    "test_bank_tables.py": "the tools of the book",
    "test_base_install.py::test_the_packages_of_all_extras_are_hidden": "the extras",
    "test_benchmark_plots.py": "matplotlib",
    "test_book.py": "the tools of the book",
    "test_convert.py::test_vgg_of_timm": "timm",
    "test_copies.py::test_a_feature_extractor_of_hooks_runs_on_the_copy": "timm",
    "test_corrections.py": "the tools of the book",
    "test_costs.py": "the extra train",
    "test_data.py::test_digits_are_scikit_learns": "scikit-learn",
    "test_data.py::test_splits_have_no_image_in_common": "scikit-learn",
    "test_doctests.py::test_examples[vgglab.arguments]": "tqdm",
    "test_element.py": "the tools of the book",
    "test_error_form.py": "the tools of the book",
    "test_exercises.py::test_a_quiz_before_anything_is_derived_and_one_before_what_to_remember": (
        "nbformat"
    ),
    "test_exercises.py::test_exercises_lead_from_a_prediction_to_an_open_task": "nbformat",
    "test_exercises.py::test_the_chapter_has_a_blank_and_a_proven_solution": "nbformat",
    "test_exercises.py::test_what_feedback_says_to_call_is_there": "nbformat",
    "test_experiments.py": "the extra train",
    "test_explorer.py": "the tools of the book",
    "test_exporting.py": "what reads the exports",
    "test_field_explorer.py": "the tools of the book",
    "test_folder_repairs.py": "the extra train",
    "test_glue.py": "IPython",
    "test_grading.py": "nbgrader and bubblewrap",
    "test_grading_hostile.py": "bubblewrap",
    "test_house.py": "the tools of the book",
    "test_loading.py::test_models_of_libraries_take_no_memory[timm": "timm",
    "test_loading.py::test_unknown_weights_name_what_is_accepted[timm": "timm",
    "test_loading.py::test_what_cannot_be_found_is_one_sentence[timm": "timm",
    "test_logbook.py": "the tools of the book",
    "test_main.py::test_what_is_printed_as_json_is_as_the_schema_says[diagnose]": "timm",
    "test_normalizing.py": "the extra train",
    "test_notebooks.py": "the tools of the book",
    "test_onnx.py": "the extra onnx",
    "test_other_sizes.py": "the extra train",
    "test_perturbations.py": "the extra train",
    "test_platforms.py": "the tools of the book",
    "test_plots.py": "matplotlib",
    "test_prediction.py": "the tools of the book",
    "test_pretrained.py": "the extra train",
    "test_readout.py": "scikit-learn",
    "test_recorded_tables.py": "the extra train",
    "test_repair_chart.py": "the extra train",
    "test_repair_findings.py": "the extra train",
    "test_repairs.py": "the extra train",
    "test_report.py": "the tools of the book",
    "test_results.py": "the extra train",
    "test_scaling.py": "the extra train",
    "test_scaling_chart.py": "the tools of the book",
    "test_see.py": "the extra train",
    "test_several_processes.py": "the extra train",
    "test_stack.py": "the tools of the book",
    "test_stacks.py::test_bad_input_is_named": "scipy",
    "test_stacks.py::test_least_squares_finds_what_a_stack_can_be_and_leaves_what_it_cannot": (
        "scipy"
    ),
    "test_statistics.py::test_the_plot_is_drawn": "matplotlib",
    "test_statistics.py::test_the_recorded_class_is_one_of_its_assignment": "nbformat",
    "test_status.py": "the tools of the book",
    "test_summary.py::test_torchinfos_table_to_the_digit": "torchinfo",
    "test_summary.py::test_torchsummarys_table_to_the_digit": "torchsummary",
    "test_tables.py": "the extra train",
    "test_teaching.py": "the tools of the book",
    "test_training.py": "the extra train",
    "test_transfer.py": "the extra train",
    "test_wheelhouse.py": "the tools of the book",
}


def run(*command: str | Path) -> None:
    """Run a command at the root of the repository; end with its status if it fails."""
    result = subprocess.run([str(part) for part in command], cwd=ROOT)
    if result.returncode:
        sys.exit(result.returncode)


def install(resolution: str) -> None:
    """Make the environment anew."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    testing = project["optional-dependencies"]["test"]
    tools = [name for name in testing if re.match(rf"({'|'.join(TOOLS)})[^\w-]", name)]
    venv.create(FOLDER, clear=True, with_pip=True)
    run(PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv")
    # Without the settings in pyproject.toml, which hold torch to the version of the stored outputs.
    uv = [PYTHON, "-m", "uv", "--no-config", "pip"]
    run(*uv, "install", "--python", PYTHON, "--resolution", resolution, "-e", ".")
    run(*uv, "install", "--python", PYTHON, *tools)
    run(*uv, "list", "--python", PYTHON)


def main() -> None:
    """Install, then test."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--resolution", choices=["highest", "lowest-direct"], default="highest")
    arguments, further = parser.parse_known_args()
    install(arguments.resolution)
    left_out = [f"--{'deselect' if '::' in name else 'ignore'}=tests/{name}" for name in NEED_MORE]
    if arguments.resolution == "lowest-direct":
        further += ["-W", "default::DeprecationWarning"]  # old versions warn of what new ones mend
    run(PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", *left_out, *further, "tests")


if __name__ == "__main__":
    main()
