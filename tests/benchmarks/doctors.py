"""What tools say of networks that stop, one beside the other; the book prints the table.

    python tests/benchmarks/doctors.py --out book/reference/doctors.json [--only vgglab]

Each posted network of ``tests/data/reports.json`` that raises and is not too large, and VGG-16 at
400 px, a quarter as wide, is given to each tool as it was posted. Each tool has a virtual
environment of its own, which sees this project's torch. Nobody judges: what counts as an answer is
decided by the functions below, from what a tool printed and from a real forward. Checkers of types
need to be told what comes in; the type of the input is written into the code for them, and nothing
else is changed.
"""

import argparse
import contextlib
import copy
import importlib.util
import io
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import traceback
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
LIMIT = 120  # seconds
MOST_PARAMETERS = 20_000_000  # larger ones take minutes each

VGG_400 = {
    "id": "vgg16-400",
    "source": "https://stackoverflow.com/questions/53114882",
    "kinds": ["input-size"],
    "model_code": """import torch
from torch import nn


class VGG16(nn.Module):
    def __init__(self):
        super().__init__()
        layers, channels = [], 3
        for out in [16, 16, 0, 32, 32, 0, 64, 64, 64, 0, 128, 128, 128, 0, 128, 128, 128, 0]:
            if out:
                layers += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU(inplace=True)]
                channels = out
            else:
                layers += [nn.MaxPool2d(2, 2)]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(128 * 7 * 7, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(),
            nn.Linear(1024, 1000),
        )

    def forward(self, x):
        x = self.features(x)
        x = torch.flatten(x, 1)
        return self.classifier(x)


def make():
    return VGG16().eval()
""",
    "input_size": [1, 3, 400, 400],
    "shapes_that_run": [[1, 3, 224, 224], [1, 3, 255, 255]],
    "shapes_that_fail": [[1, 3, 223, 224], [1, 3, 256, 224]],
}


class Tool(NamedTuple):
    """One of those compared.

    Attributes
    ----------
    packages
        What is installed for it, without what depends on torch.
    command
        Program and arguments, if it is run by itself; else the child calls it.
    annotation
        How the type of an input is written for it, and what is imported for that.
    """

    packages: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    annotation: tuple[str, str] | None = None


TOOLS = {
    "vgglab": Tool(),
    "torchtyc": Tool(("torchtyc", "jaxtyping", "wadler-lindig"), ("torchtyc", "run")),
    "pyrefly": Tool(
        ("pyrefly", "pyrefly-torch-stubs", "pyrefly-shape-extensions"),
        ("pyrefly", "check", "-j", "1"),
        ("torch.Tensor[[{}]]", "import torch"),
    ),
    "torchshapeflow": Tool(
        ("torchshapeflow",),
        ("tsf", "check"),
        (
            "Annotated[torch.Tensor, Shape({})]",
            "import torch; from typing import Annotated; from torchshapeflow import Shape",
        ),
    ),
    "torch-model-inspector": Tool(("torch-model-inspector",)),
    "tensor-sensor": Tool(("tensor-sensor", "graphviz")),
    "torchinfo": Tool(("torchinfo",)),
    "set in_features": Tool(),
}


# ---- in the child: one case and one tool, in the tool's own environment


def load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("case", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["case"] = module
    spec.loader.exec_module(module)
    return module.make()


def state(model: Any) -> Any:
    import torch

    return (
        {name: (t.clone(), t.device, t.dtype) for name, t in model.state_dict().items()},
        {name: m.training for name, m in model.named_modules()},
        {name: [len(v) for k, v in vars(m).items() if k.endswith("_hooks")]
         for name, m in model.named_modules()},
        torch.get_rng_state(),
    )  # fmt: skip


def same_state(before: Any, after: Any) -> bool:
    import torch

    tensors, others = before[0], after[0]
    return (
        tensors.keys() == others.keys()
        and all(torch.equal(t, others[k][0]) and d == others[k][1:] for k, (t, *d2) in
                tensors.items() for d in [tuple(d2)])
        and before[1:3] == after[1:3]
        and torch.equal(before[3], after[3])
    )  # fmt: skip


def kept(model: Any, repaired: Any) -> int:
    """Count parameters of a network that another has, with the same numbers."""
    import torch

    there = list(repaired.parameters())
    return sum(
        p.numel()
        for p in model.parameters()
        if any(p.shape == other.shape and torch.equal(p, other) for other in there)
    )


def runs(model: Any, size: list[int]) -> bool:
    """Tell whether a network returns a row for each input, of scores if linear layers end it."""
    import torch
    from torch import nn

    try:
        with torch.no_grad():
            out = model(torch.rand(size))
    except Exception:
        return False
    out = out[0] if isinstance(out, tuple) else out
    is_row = out.dim() == 2 or not any(isinstance(m, nn.Linear) for m in model.modules())
    return is_row and (len(size) < 4 or len(out) == size[0])


def with_features(model: Any, size: list[int]) -> Any:
    """Put a new linear layer for the features that come in the place of the one that stops."""
    import torch
    from torch import nn

    came: list[tuple[str, Any, int]] = []
    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            hooks.append(
                module.register_forward_pre_hook(
                    lambda m, x, name=name: came.append((name, m, x[0].shape[-1]))
                )
            )
    with contextlib.suppress(Exception), torch.no_grad():
        model(torch.rand(size))
    for hook in hooks:
        hook.remove()
    if not came or came[-1][1].in_features == came[-1][2]:
        return None
    name, old, features = came[-1]
    where, _, last = name.rpartition(".")
    new = nn.Linear(features, old.out_features, old.bias is not None)
    setattr(model.get_submodule(where), last, new)
    return model


def ask(tool: str, model: Any, x: Any) -> tuple[str, list[Any]]:
    """Return what a tool prints of a network, and the repaired networks that it offers."""
    size = list(x.shape)
    if tool == "vgglab":
        from vgglab import diagnose

        found = diagnose(model, size)
        return str(found), [lambda fix=fix: fix.apply() for fix in found.fixes]
    if tool == "torchinfo":
        from torchinfo import summary

        return str(summary(model, input_size=size)), []
    if tool == "torch-model-inspector":
        import torchinspect

        with contextlib.redirect_stdout(io.StringIO()) as out:
            torchinspect.print_report(torchinspect.analyze(model, x))
        return out.getvalue(), []
    if tool == "tensor-sensor":
        import tsensor

        with tsensor.clarify(show=None):
            model(x)
        return "", []
    copied = copy.deepcopy(model)
    return "", [lambda: with_features(copied, size)]


def child(tool: str, case: dict[str, Any], path: Path) -> dict[str, Any]:
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)
    model, size = load(path), case["input_size"]
    x = torch.rand(size)
    before, offered = state(model), []
    start = time.perf_counter()
    try:
        text, offered = ask(tool, model, x)
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - start
    unchanged = same_state(before, state(model))
    total = sum(p.numel() for p in model.parameters())
    repairs = []
    for make in offered:
        repaired = make()
        if repaired is not None:
            repairs.append({"runs": runs(repaired, size), "kept": kept(model, repaired)})
    return {
        "text": text, "seconds": seconds, "unchanged": unchanged, "parameters": total,
        "repairs": repairs,
    }  # fmt: skip


def truth(case: dict[str, Any], path: Path) -> dict[str, Any] | None:
    """Return where a real forward stops: module, line of the file, message.

    None if it ends, or if the network is too large.
    """
    import torch
    from torch import nn

    torch.set_num_threads(1)
    with torch.device("meta"):
        count = sum(p.numel() for p in load(path).parameters())
    if count > MOST_PARAMETERS:
        return None
    model = load(path)
    open_calls: list[str] = []
    for name, module in model.named_modules():
        module.register_forward_pre_hook(lambda m, x, name=name: open_calls.append(name))
        module.register_forward_hook(lambda m, x, y: open_calls.pop() and None)
    try:
        with torch.no_grad():
            model(torch.rand(case["input_size"]))
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [
            [Path(frame.filename).name, frame.lineno]
            for frame in frames
            if "site-packages" not in frame.filename and Path(frame.filename) != Path(__file__)
        ]
        return {
            "layer": open_calls[-1],
            "lines": lines,
            "message": str(error),
            "is_linear": isinstance(model.get_submodule(open_calls[-1]), nn.Linear),
        }
    return None


# ---- what counts, from the text


def names_the_place(text: str, known: dict[str, Any]) -> bool:
    """Tell whether the layer or the line that stops is named."""
    layer = known["layer"]
    named = bool(layer) and re.search(rf"(?<![\w.]){re.escape(layer)}(?![\w.]*\w)", text)
    lines = known["lines"][-1:]
    line = any(re.search(rf'{re.escape(f)}(:|"?,? line ){n}\b', text) for f, n in lines)
    return bool(named or line)


def says_the_cause(text: str, known: dict[str, Any], case: dict[str, Any]) -> bool:
    """Tell whether it is said where the numbers of the error come from; how depends on its kind."""
    message = {int(n) for n in re.findall(r"\d+", known["message"]) if int(n) > 1}
    return _CAUSES[case["kinds"][0]](text, message, case)


def _features_as_a_product(text: str, message: set[int], case: dict[str, Any]) -> bool:
    """Such as 4608 = 8·24·24."""
    products = re.findall(r"\d+(?:\s*[·*×]\s*\d+)+", text)
    return bool(message & {prod(map(int, re.findall(r"\d+", p))) for p in products})


def _way_of_a_side(text: str, message: set[int], case: dict[str, Any]) -> bool:
    """Such as 488 → 244 → 122 → 61, from the input on, or what sides must be multiples of."""
    given, found = case["input_size"][2:], r"\d+(?:\s*(?:→|->)\s*\d+){2,}"
    ways = [[int(n) for n in re.findall(r"\d+", w)] for w in re.findall(found, text)]
    steps = [int(n) for n in re.findall(r"(?:multiple of|divisible by) (\d+)", text)]
    running = [n for shape in case["shapes_that_run"] for n in shape[2:]]
    return any(way[0] in given and message & {*way} for way in ways) or any(
        all(n % step == 0 for n in running) and any(n % step for n in given) for step in steps
    )


def _channels(text: str, message: set[int], case: dict[str, Any]) -> bool:
    """How many come and how many are wanted."""
    numbers = {str(case["input_size"][1]), str(case["shapes_that_run"][0][1])}
    return any(
        numbers <= {*re.findall(r"\d+", part)}
        and re.search(r"channel|(expect|want).*(got|get)", part, re.IGNORECASE)
        for part in re.split(r"[.\n]", text)
    )


def _dimensions(text: str, message: set[int], case: dict[str, Any]) -> bool:
    """How many come, as a number or as a shape, and how many are wanted; or an input that runs."""
    shapes = [", ".join(map(str, shape)) for shape in case["shapes_that_run"]]
    if any(shape in text for shape in shapes):
        return True
    for part in re.split(r"[.\n]", text):
        written = {len(shape.split(",")) for shape in re.findall(r"\d+(?:, \d+)+", part)}
        named = {int(n) for n in re.findall(r"\b([1-6])(?=D\b|[- ]dim| or [1-6])", part)}
        if named and len(named | written) > 1:
            return True
    return False


def _batch(text: str, message: set[int], case: dict[str, Any]) -> bool:
    """That it trains, and on how many images."""
    return any(
        re.search(r"batch|one image", part) and re.search(r"\b(train|eval)", part)
        for part in re.split(r"[.\n]", text)
    )


_CAUSES = {
    "input-size": _features_as_a_product,
    "wrong-in-features": _features_as_a_product,
    "missing-flatten": _features_as_a_product,
    "batch-mixed": _features_as_a_product,
    "padding-mismatch": _way_of_a_side,
    "channel-mismatch": _channels,
    "unbatched-input": _dimensions,
    "wrong-dimensions": _dimensions,
    "batch-too-small": _batch,
}


def gives_sizes(text: str, case: dict[str, Any]) -> bool | None:
    """Tell whether a side at which the network runs is named that the case does not have.

    ``None`` if none is known: another size is not what the network lacks.
    """
    given = set(re.findall(r"\d+", case["model_code"] + str(case["input_size"])))
    sides = {str(n) for shape in case["shapes_that_run"] or [] for n in shape[2:]} - given
    if not sides:
        return None
    return any(re.search(rf"(?<!\d){side}(?!\d)", text) for side in sides)


def cells(answer: dict[str, Any], case: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    text = answer["text"]
    working = [repair for repair in answer.get("repairs", ()) if repair["runs"]]
    total = answer.get("parameters")
    best = max((repair["kept"] for repair in working), default=None)
    return {
        "place": names_the_place(text, known),
        "cause": says_the_cause(text, known, case),
        "sizes": gives_sizes(text, case),
        "repairs": len(answer.get("repairs", ())),
        "repairs_that_run": len(working),
        "kept": None if best is None or not total else best / total,
        "unchanged": answer["unchanged"],
        "seconds": float(f"{answer['seconds']:.3g}"),
        "said": text[:6000],
    }


# ---- the driver


def environment(tool: str, folder: Path) -> tuple[Path, dict[str, str]]:
    """Return the interpreter of a tool's own environment, and what was installed there."""
    packages = TOOLS[tool].packages
    if not packages:
        return Path(sys.executable), {}
    home = folder / tool.replace(" ", "-")
    uv = Path(sys.executable).with_name("uv")
    python = home / "bin" / "python"
    if not python.exists():
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, home], check=True)
        command = [uv, "pip", "install", "-q", "--no-deps", "--python", python, *packages]
        subprocess.run(command, check=True)
    ours = sysconfig.get_path("purelib")
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    (home / "lib" / version / "site-packages" / "project.pth").write_text(f"{ours}\n")
    listed = subprocess.run(
        [uv, "pip", "list", "--format", "json", "--python", python],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    names = {p["name"]: p["version"] for p in json.loads(listed.stdout)}
    return python, {name: names[name] for name in packages if name in names}


def annotated(code: str, annotation: tuple[str, str], size: list[int]) -> str:
    """Write the type of the input into the forward of the network that is made.

    Lines keep their numbers. The input gets a name of its own, because what is assigned to a name
    with a type must be of that type.
    """
    kind, imports = annotation
    made = re.search(r"return (\w+)\(", code[code.index("def make") :])
    start = code.find(f"class {made[1]}(") if made else -1
    if start < 0:
        return f"{imports}; {code}"
    head, body = code[:start], code[start:]
    body = re.sub(
        r"def forward\(self, (\w+)\):\n( +)(?!for |if |while |with )",
        rf"def forward(self, given: {kind.format(', '.join(map(str, size)))}):\n\2\1 = given; ",
        body,
        count=1,
    )
    return f"{imports}; {head}{body}"


def outside(tool: str, python: Path, case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run a tool that is a program of its own."""
    spec, code = TOOLS[tool], case["model_code"]
    if spec.annotation:
        code = annotated(code, spec.annotation, case["input_size"])
    else:
        code += f"\n\nimport torch\n\nmodel = make()\nmodel(torch.zeros({case['input_size']}))\n"
    (folder / "case.py").write_text(code, encoding="utf-8")
    if tool == "pyrefly":
        places = [str(next(python.parents[1].glob("lib/*/site-packages"))), str(ROOT)]
        places.append(sysconfig.get_path("purelib"))
        settings = f'python-version = "3.13"\nsite-package-path = {json.dumps(places)}\n'
        (folder / "pyrefly.toml").write_text(settings, encoding="utf-8")
    program, *arguments = spec.command
    start = time.perf_counter()
    done = subprocess.run(
        [python.with_name(program), *arguments, "case.py"],
        cwd=folder, capture_output=True, text=True, timeout=LIMIT,
    )  # fmt: skip
    return {
        "text": done.stdout + done.stderr,
        "seconds": time.perf_counter() - start,
        "unchanged": None,  # it runs in a process of its own
    }


def inside(tool: str, python: Path, folder: Path) -> dict[str, Any]:
    """Call a tool from Python for all cases, in a process with its environment."""
    out = folder / "answers.json"
    done = subprocess.run(
        [python, __file__, "--child", tool, "--cases", folder],
        capture_output=True, text=True, timeout=10 * LIMIT, cwd=folder,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-500:])
    answers: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return answers


def answer_all(tool: str, folder: Path) -> None:
    """Write what a tool says of all cases in a folder, each in a folder of its own."""
    answers = {}
    for place in sorted(folder.glob("*/case.json")):
        case, path = json.loads(place.read_text(encoding="utf-8")), place.with_name("case.py")
        path.write_text(case["model_code"], encoding="utf-8")
        made = truth(case, path) if tool == "truth" else child(tool, case, path)
        answers[case["id"]] = made
    (folder / "answers.json").write_text(json.dumps(answers), encoding="utf-8")


def recount(path: Path, cases: list[dict[str, Any]]) -> None:
    """Apply the rules to recorded answers, which ask the tools again about nothing."""
    record = json.loads(path.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as place:
        for case in cases:
            Path(place, case["id"]).mkdir()
            Path(place, case["id"], "case.json").write_text(json.dumps(case), encoding="utf-8")
        known = inside("truth", Path(sys.executable), Path(place))
    for case in cases:
        row = record["cases"].get(case["id"])
        for cell in row["tools"].values() if row else ():
            row["lines"] = known[case["id"]]["lines"]
            if "failed" not in cell:
                cell["place"] = names_the_place(cell["said"], known[case["id"]])
                cell["cause"] = says_the_cause(cell["said"], known[case["id"]], case)
                cell["sizes"] = gives_sizes(cell["said"], case)
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", choices=list(TOOLS), action="append")
    parser.add_argument("--environments", type=Path, help="Folder to keep them in.")
    parser.add_argument(
        "--recount", action="store_true", help="Of the answers in --out, by the rules as they are."
    )
    parser.add_argument("--child", choices=[*TOOLS, "truth"])
    parser.add_argument("--cases", type=Path)
    options = parser.parse_args()
    if options.child:
        answer_all(options.child, options.cases)
        return

    from vgglab.lab.provenance import provenance, today

    posted = json.loads((ROOT / "tests/data/reports.json").read_text(encoding="utf-8"))
    cases = [VGG_400, *(case for case in posted if case["model_code"])]
    record: dict[str, Any] = {
        "command": "python tests/benchmarks/doctors.py --out book/reference/doctors.json",
        "date": today(),
        "provenance": provenance(),
        "versions": {},
        "not_installed": {},
        "cases": {},
    }
    if options.recount:
        recount(options.out, cases)
        return
    with tempfile.TemporaryDirectory() as place:
        homes = options.environments or Path(place, "environments")
        homes.mkdir(parents=True, exist_ok=True)
        folder = Path(place, "work")
        folder.mkdir()
        pythons = {}
        for tool in options.only or TOOLS:
            try:
                pythons[tool], record["versions"][tool] = environment(tool, homes)
            except (OSError, subprocess.CalledProcessError) as error:
                record["not_installed"][tool] = str(error)
        for case in cases:
            (folder / case["id"]).mkdir()
            (folder / case["id"] / "case.json").write_text(json.dumps(case), encoding="utf-8")
        known = inside("truth", Path(sys.executable), folder)
        for case in cases:
            if known[case["id"]] is None:
                shutil.rmtree(folder / case["id"])
        cases = [case for case in cases if known[case["id"]] is not None]
        if options.only and options.out and options.out.exists():  # the others stay
            before = json.loads(options.out.read_text(encoding="utf-8"))
            found = before["versions"] | record["versions"]
            record["versions"] = {tool: found[tool] for tool in TOOLS if tool in found}
            record["cases"] = before["cases"]
        for case in cases if not record["cases"] else ():
            where = known[case["id"]]
            record["cases"][case["id"]] = {
                "source": case["source"],
                "input_size": case["input_size"],
                "layer": where["layer"],
                "lines": where["lines"],
                "message": where["message"],
                "tools": {},
            }
        for tool, python in pythons.items():
            is_program = bool(TOOLS[tool].command)
            answers = {} if is_program else inside(tool, python, folder)
            for case in cases:
                row = record["cases"][case["id"]]["tools"]
                try:
                    answer = (
                        outside(tool, python, case, folder / case["id"])
                        if is_program
                        else answers[case["id"]]
                    )
                except subprocess.TimeoutExpired:
                    row[tool] = {"failed": f"not done after {LIMIT} s"}
                else:
                    row[tool] = cells(answer, case, known[case["id"]])
                shown = {k: v for k, v in row[tool].items() if k != "said"}
                print(case["id"], tool, shown, flush=True)
            if options.out:
                text = json.dumps(record, indent=1, ensure_ascii=False).replace(place, "…")
                options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
