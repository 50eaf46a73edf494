import dataclasses
import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import jsonschema
import pytest
import torch
from click.testing import CliRunner
from networks import torchvision_network
from sampling import sampled

import vgglab
from vgglab import diagnose, explain_error
from vgglab.__main__ import FORMAT, WHICH_REPAIR, main
from vgglab.course.notebooks import RESULTS
from vgglab.explain import format_causes
from vgglab.explain.interpreter import read_rules
from vgglab.lab import experiments
from vgglab.models.network import vgg
from vgglab.receptive_field import fields_table, receptive_fields
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


# Each name in a process that has imported nothing of vgglab yet, and torch once for all.
FIRST_USES = """
import importlib, os, sys, torchvision, vgglab

def is_there(name):
    return getattr(vgglab, name) is not None

def is_not_hidden_by_its_module(name):
    first = getattr(vgglab, name)
    importlib.import_module("vgglab." + name)
    return first is getattr(vgglab, name) and callable(first)

uses = [(is_there, name) for name in sys.argv[1:]]
uses += [
    (is_not_hidden_by_its_module, name)
    for name in ("compare", "diagnose", "receptive_field", "summary")
]
for use, name in uses:
    if not (child := os.fork()):
        os._exit(0 if use(name) else 1)
    if os.waitpid(child, 0)[1]:
        print(use.__name__, name)
print(len(uses))
"""


@pytest.mark.sampled
def test_every_public_name_can_be_imported_and_is_not_hidden_by_the_module_of_its_name():
    names = sampled(dir(vgglab), 6)
    assert python("-c", FIRST_USES, *names).strip() == str(len(names) + 4)


def test_help_imports_next_to_nothing():
    code = (
        "import sys; from vgglab.__main__ import main; main(['--help'], standalone_mode=False); "
        "print(len(sys.modules), *sys.modules)"
    )
    output = python("-c", code)
    assert "summary" in output
    count, *imported = output.splitlines()[-1].split()
    assert not {"torch", "torchvision", "numpy", "matplotlib", "PIL"} & set(imported)
    assert int(count) < 400


def test_the_command_is_installed():
    script = os.path.join(os.path.dirname(sys.executable), "vgglab")
    assert subprocess.run([script, "--version"], capture_output=True, check=True).stdout


def test_diagnose_prints_what_the_package_says():
    result = run("diagnose", "vgglab:D,head=fc-fixed", "--size", "400")
    assert result.exit_code == 1
    model = vgg("D", head="fc-fixed", device="meta").eval()
    assert result.output == str(diagnose(model, (1, 3, 400, 400))) + "\n"


def test_diagnose_as_json():
    result = run("diagnose", "torchvision:alexnet", "--size", "100", "--json")
    assert result.exit_code == 0
    found = json.loads(result.output)
    assert found["ok"]
    assert found["valid_sizes"]["height"] == [[63, None]]
    assert found["warnings"]


def test_rf_prints_the_fields_of_a_model():
    result = run("rf", "torchvision:resnet50", "--size", "224")
    assert result.exit_code == 0
    model = torchvision_network("resnet50", "meta").eval()
    assert result.output == fields_table(receptive_fields(model, (1, 3, 224, 224))) + "\n"
    assert "427x427" in result.output
    everything = run("rf", "torchvision:resnet50", "--size", "224", "--all").output
    assert len(everything.splitlines()) > len(result.output.splitlines())
    rows = json.loads(run("rf", "torchvision:resnet50", "--json").output)["fields"]
    assert rows[0]["size"] == [7, 7]
    assert rows[-1]["exactness"] == "exact"


def test_rf_of_one_layer_and_one_cell():
    arguments = ["rf", "torchvision:vgg16", "--size", "400", "--layer", "features.30"]
    assert "size 212x212, stride 32x32, padding 90x90, exact" in run(*arguments).output
    result = run(*arguments, "--cell", "3,4")
    assert "cell (3, 4) sees rows 6 to 217, columns 38 to 249" in result.output
    box = json.loads(run(*arguments, "--cell", "0,0", "--json").output)["box"]
    assert box == {"top": 0, "left": 0, "bottom": 122, "right": 122}


def test_rf_ends_where_the_forward_stops():
    result = run("rf", "vgglab:D,head=fc-fixed", "--size", "400")
    assert result.exit_code == 1
    assert "212x212" in result.output
    assert "Stopped in 'classifier.0'" in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--layer", "feature.30"], "such as ['features.30'"),
        (["--layer", "features.30", "--cell", "7,0"], "i must be below 7, the map's size; got 7"),
        (["--layer", "features.30", "--cell", "7"], "cell must be ROW,COLUMN"),
        (["--cell", "1,1"], "--cell needs --layer"),
        (["--size", "0"], "got '0'"),
    ],
)
def test_bad_input_to_rf(arguments, words):
    result = run("rf", "torchvision:vgg16", *arguments)
    assert result.exit_code == 2
    assert words in result.output
    assert "Traceback" not in result.output


MESSAGE = "mat1 and mat2 shapes cannot be multiplied (1x73728 and 25088x4096)"


@pytest.mark.parametrize(
    ("arguments", "input"), [([MESSAGE], None), ([], MESSAGE), (["-"], f"  {MESSAGE}\n")]
)
def test_explain_from_argument_and_standard_input(arguments, input):
    result = CliRunner().invoke(main, ["explain", *arguments], input=input)
    assert result.exit_code == 0
    assert result.output == format_causes(explain_error(MESSAGE)) + f"\n{WHICH_REPAIR}\n"
    assert "512·12·12" in result.output


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xfa broken \xe9 " + MESSAGE.encode(),
        "﻿Größenfehler: ".encode() + MESSAGE.encode(),
        f"尺寸错误 {MESSAGE}".encode("gbk"),
        MESSAGE.encode("utf-16"),
    ],
)
def test_explain_reads_bytes_of_any_encoding(data):
    result = CliRunner().invoke(main, ["explain", "-"], input=data)
    assert result.exit_code == 0
    assert result.output.startswith(format_causes(explain_error(MESSAGE)))


ROOT = Path(__file__).resolve().parents[1]
SCHEMA = json.loads((ROOT / "book" / "output.schema.json").read_text("utf-8"))
NARROW = ["vgglab:A,head=fc-fixed,width=0.0625", "--size"]
AS_JSON = {
    "explain": [[MESSAGE], ["nothing known"]],
    "diagnose": [[*NARROW, "400"], [*NARROW, "230"], ["timm:vit_tiny_patch16_224", "--size", "60"]],
    "identify": [[*NARROW, "224"], ["torchvision:resnet18"], ["torch.nn:ReLU"]],
    "summary": [[*NARROW, "400"], [*NARROW, "224"]],
    "rf": [
        [*NARROW, "224"],
        [*NARROW, "224", "--layer", "features.2"],
        [*NARROW, "224", "--layer", "features.2", "--cell", "0,1"],
        ["torchvision:vit_b_32"],
    ],
    "repairs": [[*NARROW, "400"]],
}


def test_every_command_with_json_has_an_entry_in_the_schema():
    names = {
        name
        for name, command in main.commands.items()
        if any("--json" in parameter.opts for parameter in command.params)
    }
    assert names == set(AS_JSON) == {r["$ref"].rpartition("/")[2] for r in SCHEMA["oneOf"]}
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.sampled
@pytest.mark.parametrize("command", sampled(AS_JSON, 2))
def test_what_is_printed_as_json_is_as_the_schema_says(command):
    for words in AS_JSON[command]:
        result = run(command, *words, "--json")
        assert result.exit_code in (0, 1), result.output
        printed = json.loads(result.output)
        assert (printed["format"], printed["command"]) == (FORMAT, command)
        # The entry alone, for a reason if it fails; then the whole.
        jsonschema.validate(printed, {"$ref": f"#/$defs/{command}", "$defs": SCHEMA["$defs"]})
        jsonschema.validate(printed, SCHEMA)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(printed | {"format": FORMAT + 1}, SCHEMA)


def test_explain_as_json():
    for message in (MESSAGE, "nothing known"):
        result = run("explain", "--json", message)
        printed = json.loads(result.output)
        assert printed["causes"] == [dataclasses.asdict(c) for c in explain_error(message)]
    assert result.exit_code == 1
    assert SCHEMA["$defs"]["kind"]["enum"] == list(read_rules()["kinds"])


def test_annotations_for_a_workflow(tmp_path, monkeypatch):
    (tmp_path / "shallow.py").write_text(
        "from torch import nn\nclass Net(nn.Module):\n    def __init__(self):\n"
        "        super().__init__()\n        self.c = nn.Conv2d(3, 8, 3, 2, 1)\n"
        "        self.fc = nn.Linear(2048, 10)\n    def forward(self, x):\n"
        "        return self.fc(self.c(x).flatten(1))\n"
    )
    monkeypatch.chdir(tmp_path)
    result = run("diagnose", "shallow.py:Net", "--size", "48", "--format", "github")
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    head = "::error file=shallow.py,line=8,title=vgglab%3A input-size::"
    assert line.startswith(head + "fc (Linear) wants 2048")
    assert line.endswith("%0ASizes that fit: 31 to 32 px along each axis.")
    result = run("diagnose", "torchvision:alexnet", "--size", "100", "--format", "github")
    assert result.exit_code == 0
    assert result.output.startswith("::warning title=vgglab%3A AlexNet::")
    assert run("diagnose", "shallow.py:Net", "--size", "32", "--format", "github").output == "\n"
    sys.modules.pop("shallow", None)


def test_what_the_skill_for_agents_says_runs(tmp_path, monkeypatch, capsys):
    text = (ROOT / "SKILL.md").read_text(encoding="utf-8")
    (tmp_path / "net.py").write_text(
        "from torch import nn\nclass Net(nn.Sequential):\n    def __init__(self):\n"
        "        layers = nn.Conv2d(3, 8, 3, 2, 1), nn.Flatten(), nn.Linear(2048, 10)\n"
        "        super().__init__(*layers)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    commands = re.findall(r"^ +vgglab (.*)$", text, re.MULTILINE)
    explained, diagnosed = [json.loads(run(*shlex.split(line)).output) for line in commands]
    assert explained["causes"][0]["kind"] == diagnosed["kind"] == "input-size"
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(textwrap.dedent(code), {})
    assert "identical" in capsys.readouterr().out
    sys.modules.pop("net", None)


def test_explain_exits_with_1_if_it_does_not_know():
    result = run("explain", "KeyError: 'width'")
    assert result.exit_code == 1
    assert "unknown" in result.output


NARROW = "vgglab:A,head=fc-fixed,width=0.0625"


@pytest.mark.sampled
@pytest.mark.parametrize("repair", sampled(["resize", "pool", "fold", "conv", "gap", "fc"], 1))
def test_a_repaired_file_builds_the_repaired_network(tmp_path, monkeypatch, repair):
    monkeypatch.chdir(tmp_path)
    weights = tmp_path / "own.pt"
    original = vgg("A", head="fc-fixed", width=1 / 16).eval()
    torch.save(original.state_dict(), weights)
    result = run(
        "repair", NARROW, "--size", "400", "--with", repair, "--out", "out.pt",
        "--weights", str(weights),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "were random" not in result.output

    saved = torch.load("out.pt", weights_only=True)
    names = {}
    exec(saved["code"], names)
    rebuilt = names["model"]
    image = torch.rand(1, 3, 400, 400)
    with torch.no_grad():
        assert rebuilt(image).shape == (1, 1000)
        fix = next(f for f in diagnose(original, image.shape).fixes if f.name == repair)
        if fix.same != "no":
            torch.testing.assert_close(rebuilt(image), fix.apply()(image))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.pt", "own.pt"]


def test_repair_refuses_an_existing_file_without_force(tmp_path):
    out = tmp_path / "out.pt"
    out.write_text("mine")
    arguments = ["repair", NARROW, "--size", "400", "--with", "pool", "--out", str(out)]
    result = run(*arguments)
    assert result.exit_code == 2
    assert "--force" in result.output
    assert out.read_text() == "mine"
    assert run(*arguments, "--force").exit_code == 0
    assert set(torch.load(out, weights_only=True)) == {"state_dict", "code"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([NARROW, "--size", "400", "--with", "magic"], "(resize, crop, pool, fold"),
        (["vgglab:A,width=0.0625", "--size", "224", "--with", "fold"], "nothing is wrong"),
        ([NARROW, "--size", "400", "--with", "pool", "--weights", "no.pt"], "'no.pt'"),
        ([NARROW, "--size", "-1", "--with", "pool"], "got '-1'"),
        (["torchvision:vgg17", "--with", "pool"], "'vgg17' is not in torchvision"),
    ],
)
def test_a_repair_that_fails_writes_nothing(tmp_path, arguments, words):
    result = run("repair", *arguments, "--out", str(tmp_path / "out.pt"))
    assert result.exit_code == 2
    assert words in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_half_file(tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    out = tmp_path / "out.pt"
    result = run("repair", NARROW, "--size", "400", "--with", "pool", "--out", str(out))
    assert result.exit_code == 2
    assert "nothing was written" in result.output
    assert list(tmp_path.iterdir()) == []


# --- records ----------------------------------------------------------------------------------


def test_results_are_those_of_the_book_from_every_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    listed = run("results")
    assert listed.exit_code == 0
    assert re.search(r"gap-digits +cpu +[1-9]\d* of ", listed.output)
    assert listed.output == run("results", str(RESULTS)).output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments", [["results", "nowhere"], ["experiment", "gap-digits", "--reproduce", "--results"]]
)
def test_a_folder_that_does_not_exist_is_said(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments, *(["nowhere"] if arguments[-1] == "--results" else []))
    assert result.exit_code == 2
    assert "'nowhere' does not exist" in result.output
    assert not list(tmp_path.iterdir())


def test_reproduce_reads_the_records_of_the_book(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = []
    monkeypatch.setattr(
        experiments, "reproduce", lambda *arguments, **options: asked.append(arguments) or ()
    )
    assert run("experiment", "gap-digits", "--reproduce").exit_code == 0
    assert [folder for _, _, folder in asked] == [RESULTS]


def test_a_new_run_goes_to_the_current_folder_and_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = []
    monkeypatch.setattr(
        experiments, "run", lambda *arguments, **options: asked.append(arguments) or ()
    )
    result = run("experiment", "gap-digits")
    assert result.exit_code == 0
    assert "Recording in results/gap-digits.json" in result.stderr
    assert [folder for _, _, folder in asked] == [Path("results")]


def test_a_huge_size_is_refused_at_once():
    result = run("diagnose", "torchvision:vgg16", "--size", "99999999")
    assert result.exit_code == 2
    assert "at most 65,536 pixels a side" in result.output
