import json
import os
import resource
import subprocess
import sys

import pytest
from click.testing import CliRunner

from vgglab.cli import main
from vgglab.models import vgg
from vgglab.summary import summary


def run(*arguments):
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize("style", ["vgglab", "torchsummary", "torchinfo"])
def test_summary_prints_what_the_package_says(style):
    result = run("summary", "vgglab:D", "--size", "400", "--format", style)
    assert result.exit_code == 0
    expected = summary(vgg("D", device="meta").eval(), (1, 3, 400, 400)).format(style)
    assert result.output == expected + "\n"


def test_sizes_batches_and_channels():
    result = run(
        "summary", "vgglab:A,in_channels=1", "--size", "64x96", "--batch", "2", "--channels", "1",
        "--format", "json",
    )  # fmt: skip
    table = json.loads(result.output)
    assert table["input_size"] == [[2, 1, 64, 96]]
    assert table["rows"][0]["output_shapes"] == [[2, 64, 64, 96]]


def test_a_forward_that_fails_is_shown_and_exits_with_1():
    result = run("summary", "vgglab:D,head=fc-fixed", "--size", "400")
    assert result.exit_code == 1
    assert "stopped here" in result.output
    assert "(1, 73728), (25088, 4096)" in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["torchvision:vgg17"], "'vgg17' is not in torchvision; did you mean vgg"),
        (["vgg16"], "model must be torchvision:NAME"),
        (["vgglab:D", "--size", "0"], "size must be SIDE or HEIGHTxWIDTH"),
        (["vgglab:D", "--size", "-4"], "got '-4'"),
        (["vgglab:D", "--size", "4x4x4"], "got '4x4x4'"),
        (["vgglab:D", "--batch", "0"], "--batch"),
        (["vgglab:D", "--format", "keras"], "'keras' is not one of 'vgglab', 'torchsummary'"),
        (["vgglab:D", "--channels", "many"], "'many' is not a valid integer"),
    ],
)
def test_bad_input_exits_with_2_and_no_traceback(arguments, words):
    result = run("summary", *arguments)
    assert result.exit_code == 2
    assert words in result.output
    assert "Traceback" not in result.output


def python(*arguments):
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=True
    ).stdout


def test_importing_the_package_imports_no_torch():
    code = "import sys, vgglab; print({'torch', 'torchvision', 'numpy'} & set(sys.modules))"
    assert python("-c", code).strip() == "set()"


def test_every_public_name_can_be_imported():
    code = "import vgglab; print(all(getattr(vgglab, name) is not None for name in dir(vgglab)))"
    assert python("-c", code).strip() == "True"


@pytest.mark.parametrize("name", ["summary", "explorer"])
def test_a_function_is_not_hidden_by_the_module_of_its_name(name):
    code = f"""
import vgglab
from vgglab import {name} as first
import vgglab.{name}
from vgglab import {name} as second
print(first is second is vgglab.{name} and callable(first))
"""
    assert python("-c", code).strip() == "True"


def test_help_answers_at_once():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = python("-m", "vgglab", "--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "summary" in output
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert used < 0.3, f"{used:.2f} s of CPU"


def test_the_command_is_installed():
    script = os.path.join(os.path.dirname(sys.executable), "vgglab")
    assert subprocess.run([script, "--version"], capture_output=True, check=True).stdout
