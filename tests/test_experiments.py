"""Experiments: what is run, what is recorded, what may be said of it."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from statistics import NormalDist

import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vgglab.__main__ import main
from vgglab.lab import experiments
from vgglab.lab.experiments import (
    BUDGETS,
    Budget,
    Experiment,
    Shard,
    catalogue,
    find_experiment,
    reproduce,
    run,
)
from vgglab.lab.experiments.catalogue import EXPERIMENTS
from vgglab.lab.experiments.reading import recorded as read_recorded
from vgglab.lab.experiments.results import FORMAT, read_results
from vgglab.lab.experiments.tables import edge_note
from vgglab.lab.experiments.trials import compare_heads
from vgglab.lab.experiments.verdicts import Difference, difference, interval
from vgglab.lab.provenance import provenance, today

CALLS: list[tuple[dict, int]] = []


def trial(settings, seed, checkpoint):
    CALLS.append((dict(settings), seed))
    if settings["a"] == "stop":
        raise KeyboardInterrupt
    return {"sum": settings["held"] + settings["b"] + seed / 10, "seconds": float(len(CALLS))}


def experiment(a=("x", "y"), b=(1, 2), held=5, seeds=2) -> Experiment:
    size = Budget(vary={"a": a, "b": b}, held={"held": held}, seeds=seeds)
    return Experiment("made-up", "Does it run?", trial, {"tiny": size}, tolerance=0.1)


@pytest.fixture(autouse=True)
def _no_calls():
    CALLS.clear()


def recorded(folder: Path) -> list[dict]:
    return read_results(folder / "made-up.json")["budgets"]["tiny"]["runs"]


# --- running ------------------------------------------------------------------------------------


def test_every_combination_and_seed_is_run_and_recorded(tmp_path):
    made = list(run(experiment(), "tiny", tmp_path))
    pairs = [(a, b, seed) for seed in (0, 1) for a in ("x", "y") for b in (1, 2)]
    assert [(c["a"], c["b"], seed) for c, seed in CALLS] == pairs
    assert all(settings["held"] == 5 for settings, _ in CALLS)
    assert recorded(tmp_path) == made
    assert [r["result"]["sum"] for r in made] == [5 + b + seed / 10 for _, b, seed in pairs]
    whole = read_results(tmp_path / "made-up.json")["budgets"]["tiny"]
    assert whole["definition"] == {
        "vary": {"a": ["x", "y"], "b": [1, 2]},
        "held": {"held": 5},
        "seeds": 2,
    }
    assert whole["command"] == "vgglab experiment made-up --budget tiny"
    assert whole["provenance"] == provenance()
    assert all(set(r) == {"settings", "seed", "date", "seconds", "result"} for r in made)


def test_what_is_recorded_is_not_run_again(tmp_path):
    list(run(experiment(), "tiny", tmp_path, only={"a": "y", "seed": 1}))
    assert len(recorded(tmp_path)) == 2
    list(run(experiment(), "tiny", tmp_path))
    assert len(CALLS) == len(recorded(tmp_path)) == 8
    assert not list(run(experiment(), "tiny", tmp_path))


def test_what_is_not_recorded_to_its_end_is_known(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "EXPERIMENTS", {"made-up": experiment()})
    assert catalogue.unrecorded(tmp_path, "gpu") == []
    assert catalogue.unrecorded(tmp_path, "tiny") == ["made-up"]
    list(run(experiment(), "tiny", tmp_path, only={"seed": 1}))
    assert catalogue.unrecorded(tmp_path, "tiny") == ["made-up"]
    list(run(experiment(), "tiny", tmp_path))
    assert catalogue.unrecorded(tmp_path, "tiny") == []


def test_an_interruption_loses_no_finished_run(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        list(run(experiment(a=("x", "stop")), "tiny", tmp_path))
    assert [r["settings"]["b"] for r in recorded(tmp_path)] == [1, 2]


@pytest.mark.parametrize("shards", [1, 3, 8, 9])
def test_shards_add_up_to_a_single_run(tmp_path, shards):
    """Runs of several machines, taken in: the record of one machine, but for the seconds."""
    alone, together = tmp_path / "alone", tmp_path / "together"
    list(run(experiment(), "tiny", alone))
    counts = []
    for number in reversed(range(1, shards + 1)):
        made = list(run(experiment(), "tiny", together, shard=Shard(number, shards)))
        counts.append(len(made))
        assert not list(run(experiment(), "tiny", together, shard=Shard(number, shards)))
    assert sum(counts) == 8
    assert max(counts) - min(counts) <= 1
    assert not (together / "made-up.json").exists()
    CALLS.clear()
    assert not list(run(experiment(), "tiny", together))
    assert not CALLS
    assert [path.name for path in together.iterdir()] == ["made-up.json"]
    wholes = [read_results(folder / "made-up.json") for folder in (alone, together)]
    for whole in wholes:
        for made in whole["budgets"]["tiny"]["runs"]:
            del made["seconds"], made["result"]["seconds"]
    assert json.dumps(wholes[0]) == json.dumps(wholes[1])


def test_what_a_lost_shard_left_is_run_and_what_is_recorded_is_left_out_of_shards(tmp_path):
    list(run(experiment(), "tiny", tmp_path, only={"seed": 0}))
    assert len(list(run(experiment(), "tiny", tmp_path, shard=Shard(2, 2)))) == 2
    assert len(list(run(experiment(), "tiny", tmp_path))) == 2
    assert len(recorded(tmp_path)) == 8


def test_a_shard_made_with_other_versions_is_refused_and_kept(tmp_path, monkeypatch):
    list(run(experiment(), "tiny", tmp_path, shard=Shard(1, 2)))
    changed = {**provenance(), "torch": "1.0"}
    monkeypatch.setattr("vgglab.lab.provenance.provenance", lambda: changed)
    with pytest.raises(ValueError, match=r"one provenance; .*1-of-2\.json.* not '1\.0'"):
        list(run(experiment(), "tiny", tmp_path))
    assert len(read_results(tmp_path / "made-up.1-of-2.json")["budgets"]["tiny"]["runs"]) == 4


@pytest.mark.parametrize(
    "text", ["", "2", "0/2", "3/2", "-1/2", "1/0", "a/b", "1/2/3", "1.5/2", "²/3"]
)
def test_a_shard_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match=r"shard must be i/n with i from 1 to n, such as 2/4; got"):
        Shard.parse(text)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (experiment(held=6), r"one definition; .* made with held \{'held': 5\}, not \{'held': 6\}"),
        (experiment(seeds=3), "one definition; .* made with seeds 2, not 3"),
        (experiment(b=(1, 3)), "one definition; .* vary .*, not "),
    ],
)
def test_runs_of_another_definition_are_not_mixed(tmp_path, other, words):
    list(run(experiment(), "tiny", tmp_path))
    before = (tmp_path / "made-up.json").read_bytes()
    with pytest.raises(ValueError, match=words):
        list(run(other, "tiny", tmp_path))
    assert (tmp_path / "made-up.json").read_bytes() == before


def test_runs_of_other_versions_are_not_mixed(tmp_path, monkeypatch):
    list(run(experiment(), "tiny", tmp_path, only={"seed": 0}))
    changed = {**provenance(), "torch": "1.0"}
    monkeypatch.setattr("vgglab.lab.provenance.provenance", lambda: changed)
    with pytest.raises(ValueError, match=r"one provenance; .* torch '.*', not '1\.0': move"):
        list(run(experiment(), "tiny", tmp_path))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "results must be JSON; .* is damaged"),
        ("[]", f"results must be of format {FORMAT}; .* has None"),
        ('{"format": 99}', f"results must be of format {FORMAT}; .* has 99"),
        (
            json.dumps({"format": FORMAT, "experiment": "other", "budgets": {}}),
            "results must be of 'made-up'; .* is of 'other'",
        ),
    ],
)
def test_files_that_are_not_its_own_are_refused(tmp_path, text, words):
    path = tmp_path / "made-up.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=words):
        list(run(experiment(), "tiny", tmp_path))
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("budget", "only", "words"),
    [
        ("huge", {}, "budget must be one of tiny for made-up; got 'huge'"),
        ("tiny", {"c": 1}, "only must name one of a, b, seed; got 'c'"),
        ("tiny", {"b": 9}, "only must give b one of 1, 2; got 9"),
        ("tiny", {"seed": 2}, "only must give seed one of 0, 1; got 2"),
    ],
)
def test_unknown_budgets_and_settings(tmp_path, budget, only, words):
    with pytest.raises(ValueError, match=words):
        list(run(experiment(), budget, tmp_path, only=only))


def test_reproduction_compares_and_writes_nothing(tmp_path):
    list(run(experiment(), "tiny", tmp_path))
    path = tmp_path / "made-up.json"
    before = path.read_bytes()
    assert all(not found for _, found in reproduce(experiment(), "tiny", tmp_path))
    whole = json.loads(before)
    # The stated tolerance, 0.1, holds everywhere: machines of one name may round differently.
    whole["budgets"]["tiny"]["runs"][0]["result"]["sum"] += 0.05
    path.write_text(json.dumps(whole))
    assert not any(found for _, found in reproduce(experiment(), "tiny", tmp_path))
    whole["budgets"]["tiny"]["runs"][0]["result"]["sum"] += 0.2
    path.write_text(json.dumps(whole))
    first, *others = [found for _, found in reproduce(experiment(), "tiny", tmp_path)]
    assert [text.partition(" was ")[0] for text in first] == ["sum"]
    assert not any(others)


NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("then", "now", "same"),
    [
        (NAN, NAN, True),
        (NAN, 0.5, False),
        (0.5, NAN, False),
        (INFINITY, INFINITY, True),
        (INFINITY, -INFINITY, False),
        (INFINITY, 0.5, False),
        (0.5, INFINITY, False),
        (NAN, INFINITY, False),
        (0.5, 0.55, True),
        (0.5, 0.65, False),
        (1, 2, False),
        ([0.5, NAN], [0.5, NAN], True),
        ([0.5], [0.5, 0.5], False),
        ({"seconds": [1.0], "peak_bytes": 1}, {"seconds": [9.0], "peak_bytes": 9}, True),
        ({"valid_accuracy": [0.1, 0.5]}, {"valid_accuracy": [0.4, 0.55]}, True),
        ({"valid_accuracy": [0.1, 0.5]}, {"valid_accuracy": [0.1, 0.7]}, False),
        ({"valid_accuracy": [0.5]}, {"valid_accuracy": [0.1, 0.5]}, False),
        ({"train_loss": []}, {"train_loss": [0.5]}, False),
    ],
)
def test_what_counts_as_the_same(tmp_path, then, now, same):
    """Also of trainings that diverged, which leave numbers that equal nothing."""
    results = iter((then, now))
    size = Budget(vary={}, held={}, seeds=1)
    made = Experiment(
        "made", "So?", lambda *_: {"loss": next(results)}, {"tiny": size}, tolerance=0.1
    )
    list(run(made, "tiny", tmp_path))
    ((_, found),) = reproduce(made, "tiny", tmp_path)
    assert (not found) == same


# --- the catalogue ------------------------------------------------------------------------------


def test_the_catalogue_is_read_without_torch(tmp_path):
    """`vgglab results` takes as long as reading some files, where nothing can be trained too."""
    code = (
        "import sys; from vgglab.__main__ import main\n"
        "try: main(['results', sys.argv[1]])\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'torchvision', 'lightning_fabric', 'sklearn', 'scipy', 'numpy'}\n"
        "print('loaded:', *heavy & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "loaded:"
    for name, found in EXPERIMENTS.items():
        for budget in found.budgets:
            assert re.search(rf"^{name} +{budget} +0 of \d+ +not measured yet", done.stdout, re.M)


@pytest.mark.parametrize("found", EXPERIMENTS.values(), ids=lambda found: found.name)
def test_every_trial_is_there(found):
    module, function = found.trial.args
    assert callable(getattr(import_module(f"vgglab.lab.experiments.{module}"), function))


FOUR_SEEDS = {"batch-size", "frozen-batchnorm"}  # recorded so; what they could see is on the page


def test_every_experiment_is_sound():
    for name, found in EXPERIMENTS.items():
        assert found.name == name
        assert found.question.endswith("?")
        assert found.control.endswith(".")
        assert found.held_equal.endswith(".")
        assert found.changes_mind.endswith(".")
        assert found.chapter
        assert {"tiny", "cpu"} <= set(found.budgets) <= set(BUDGETS)
        assert found.budgets["cpu"].seeds >= (4 if name in FOUR_SEEDS else 5)
        for size in found.budgets.values():
            assert not set(size.held) & set(size.vary)
            if "epochs" in size.held:
                assert {"lr"} <= {*size.held, *size.vary}


def test_an_unknown_experiment_is_named():
    with pytest.raises(ValueError, match=r"experiment must be one of stacking, .*; got 'x'"):
        find_experiment("x")


def test_a_record_names_its_images(tmp_path, monkeypatch):
    archive = tmp_path / "pets.tar.xz"
    archive.write_bytes(b"pets")
    monkeypatch.setenv("VGGLAB_DATA", str(archive))
    made = {
        name: experiments.open_results(find_experiment(name), "cpu", tmp_path)
        for name in ("gap-digits", "gap-size", "a-lrn", "gap-cost")
    }
    images = {name: results.provenance.get("images") for name, results in made.items()}
    assert images == {
        "gap-digits": {"data": "digits (scikit-learn)"},
        "gap-size": {"data": "shapes"},
        "a-lrn": {"data": "pets.tar.xz", "sha256": sha256(b"pets").hexdigest()},
        "gap-cost": None,
    }
    monkeypatch.delenv("VGGLAB_DATA")
    results = experiments.open_results(find_experiment("a-lrn"), "cpu", tmp_path)
    assert results.provenance["images"] == {"data": "cifar10 (torchvision)"}


def test_a_gpu_is_needed_for_its_budget(tmp_path):
    if provenance()["kind"] == "cuda":
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match="without a GPU; got 'gpu'"):
        list(run(find_experiment("normalization"), "gpu", tmp_path))


# --- what is recorded ---------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path):
    """Two learning rates, two heads, two seeds; the figures say which run they are of."""
    made = {"gap": {0.1: 0.9, 0.2: 0.8}, "flatten": {0.1: 0.5, 0.2: 0.6}}

    def trial(settings, seed, checkpoint):
        accuracy = made[settings["head"]][settings["lr"]]
        return {
            "valid_accuracy": [0.0, accuracy + seed / 100],
            "diverged": False,
            "accuracy": {"test": settings["lr"] + 10 * seed},
        }

    size = Budget({"head": tuple(made), "lr": (0.1, 0.2)}, {}, 2)
    assert len(list(run(Experiment("made", "So?", trial, {"tiny": size}), "tiny", tmp_path))) == 8
    return tmp_path / "made.json"


def test_samples_come_in_the_order_of_the_seeds(kept):
    whole = json.loads(kept.read_text())
    whole["budgets"]["tiny"]["runs"].reverse()
    kept.write_text(json.dumps(whole))
    found = read_recorded(kept, "tiny")
    assert found.samples("accuracy", "test", head="gap", lr=0.2) == [0.2, 10.2]
    assert found.samples("valid_accuracy", -1, head="flatten", lr=0.1) == [0.5, 0.51]


def test_the_best_is_chosen_by_validation(kept):
    found = read_recorded(kept, "tiny")
    assert found.best("lr", head="gap") == 0.1
    assert found.best("lr", head="flatten") == 0.2


def test_a_run_that_diverged_is_not_the_best(kept):
    whole = json.loads(kept.read_text())
    for run_ in whole["budgets"]["tiny"]["runs"]:
        if run_["settings"] == {"head": "gap", "lr": 0.1} and run_["seed"] == 0:
            run_["result"].update(valid_accuracy=[], diverged=True)
    kept.write_text(json.dumps(whole))
    assert read_recorded(kept, "tiny").best("lr", head="gap") == 0.2


def test_a_best_value_at_the_edge_of_its_grid_is_told(kept):
    found = read_recorded(kept, "tiny")
    assert found.at_edge("lr", head="gap") == ("lowest", pytest.approx(0.1))
    assert found.at_edge("lr", head="flatten") == ("highest", pytest.approx(0.1))
    note = edge_note(found, "lr", {"GAP": {"head": "gap"}, "Flatten": {"head": "flatten"}})
    assert note.endswith("GAP (lowest, +10.0), Flatten (highest, +10.0).")


def test_a_best_value_inside_of_its_grid_is_at_no_edge(kept):
    whole = json.loads(kept.read_text())
    part = whole["budgets"]["tiny"]
    part["definition"]["vary"]["lr"] = [0.1, 0.2, 0.05]
    for run_ in [run_ for run_ in part["runs"] if run_["settings"]["lr"] == 0.1]:
        settings = {**run_["settings"], "lr": 0.05}
        result = {**run_["result"], "valid_accuracy": [0.1]}
        part["runs"].append({**run_, "settings": settings, "result": result})
    kept.write_text(json.dumps(whole))
    found = read_recorded(kept, "tiny")
    assert found.at_edge("lr", head="gap") is None  # 0.05 < 0.1 < 0.2
    assert found.at_edge("lr", head="flatten") == ("highest", pytest.approx(0.1))
    assert edge_note(found, "lr", {"GAP": {"head": "gap"}}).startswith("The best lr of each lies")


def test_a_record_says_what_made_it(kept):
    said = str(read_recorded(kept, "tiny"))
    assert said.endswith("vgglab experiment made --budget tiny")
    assert f"torch {torch.__version__}\n2 seeds; {today()}\n" in said


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda found: found.samples("accuracy", head="gap"), "must give head, lr; got head"),
        (lambda found: found.samples("accuracy", head="x", lr=1), "those of recorded runs"),
        (lambda found: found.samples("loss", head="gap", lr=0.1), r"got \('loss',\)"),
        (lambda found: found.samples("accuracy", 0, head="gap", lr=0.1), "path must lead"),
        (lambda found: found.best("norm", head="gap"), "one of head, lr; got 'norm'"),
    ],
)
def test_what_is_not_recorded_is_refused(kept, ask, message):
    with pytest.raises(ValueError, match=message):
        ask(read_recorded(kept, "tiny"))


def test_a_part_is_not_taken_for_the_whole(kept):
    with pytest.raises(ValueError, match=r"one of tiny in made\.json; got 'cpu'"):
        read_recorded(kept, "cpu")
    whole = json.loads(kept.read_text())
    del whole["budgets"]["tiny"]["runs"][3]
    kept.write_text(json.dumps(whole))
    with pytest.raises(ValueError, match="has 7 of 8 runs of 'tiny'"):
        read_recorded(kept, "tiny")


# --- the command --------------------------------------------------------------------------------


def command(*words: str):
    return CliRunner().invoke(main, ["experiment", *words])


@pytest.fixture
def small(monkeypatch):
    """The head experiment with a handful of images."""
    found = EXPERIMENTS["gap-digits"]
    held = {**found.budgets["tiny"].held, "train_images": 40, "valid_images": 20, "test_images": 20}
    size = replace(found.budgets["tiny"], held=held)
    made = replace(found, budgets={"tiny": size})
    monkeypatch.setitem(EXPERIMENTS, "gap-digits", made)


@pytest.mark.usefixtures("small")
def test_the_command_runs_resumes_and_reproduces(tmp_path):
    where = ("gap-digits", "--results", str(tmp_path))
    first = command(*where, "--only", "head=gap", "--only", "seed=0")
    assert first.exit_code == 0
    assert first.stdout.startswith("head=gap lr=0.05 seed=0: ")
    rest = command(*where)
    assert len(rest.stdout.splitlines()) == 5
    again = command(*where, "--reproduce", "--only", "head=gap")
    assert again.output == "".join(f"head=gap lr=0.05 seed={seed}: the same\n" for seed in (0, 1))
    path = tmp_path / "gap-digits.json"
    whole = json.loads(path.read_text())
    whole["budgets"]["tiny"]["runs"][0]["result"]["accuracy"] += 0.5
    path.write_text(json.dumps(whole))
    again = command(*where, "--reproduce", "--only", "head=gap", "--only", "seed=0")
    assert again.exit_code == 1
    assert "accuracy was" in again.output
    listed = CliRunner().invoke(main, ["results", str(tmp_path)])
    assert re.search(r"gap-digits +tiny +6 of 6 ", listed.output)
    assert "not measured yet" in listed.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "Error: experiment must be one of stacking"),
        (["gap-digits", "--only", "head=cone"], "only must give head one of gap, flatten"),
        (["gap-digits", "--shard", "5/4"], "shard must be i/n with i from 1 to n"),
        (["gap-digits", "--shard", "1/2", "--reproduce"], "--reproduce takes --only"),
        (["gap-digits", "--reproduce", "--results", "/nowhere"], "'/nowhere' does not exist"),
        (["gap-digits", "--results", "/dev/null/there"], "can be written to '/dev/null/there'"),
    ],
)
def test_bad_words_end_with_2(words, message):
    done = command(*words)
    assert done.exit_code == 2
    assert message in done.output
    assert done.output.count("\n") == 1


# The second run waits for the signal, however long that takes.
INTERRUPTED = """
import time
from vgglab.__main__ import main
from vgglab.lab.experiments import Budget, Experiment
from vgglab.lab.experiments.catalogue import EXPERIMENTS

def trial(settings, seed, checkpoint):
    if seed == 1:
        time.sleep(3600)
    return {"sum": seed}

size = Budget(vary={}, held={}, seeds=2)
EXPERIMENTS["made-up"] = Experiment("made-up", "Does it stop?", trial, {"tiny": size})
main()
"""


def test_ctrl_c_says_how_to_go_on(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, "experiment", "made-up", "--results", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    assert "seed=0" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    output, said = process.communicate()
    assert (process.returncode, output) == (130, "")
    assert "run it again to resume" in said
    assert [run["seed"] for run in recorded(tmp_path)] == [0]


# --- verdicts -----------------------------------------------------------------------------------

NUMBERS = st.integers(-1000, 1000).map(lambda tenths: tenths / 10)


@given(st.lists(NUMBERS, min_size=2, max_size=20))
def test_intervals_are_students(samples):
    found = interval(samples)
    sem = stats.sem(samples)
    low, high = (
        stats.t.interval(0.95, len(samples) - 1, sum(samples) / len(samples), sem)
        if sem > 0
        else (found.mean, found.mean)
    )
    assert found.low == pytest.approx(low, abs=1e-6)
    assert found.high == pytest.approx(high, abs=1e-6)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=10))
def test_a_difference_is_the_paired_t_test(pairs):
    ours, others = zip(*pairs, strict=True)
    found = difference(ours, others)
    if len({a - b for a, b in pairs}) > 1:
        p = stats.ttest_rel(ours, others).pvalue
        if abs(p - 0.05) > 1e-6:
            assert found.significant == (p < 0.05)


def test_intervals_cover_and_the_detectable_effect_is_detected():
    """Of 4,000 made-up experiments of 5 seeds: 95 % hold the truth, 80 % see that effect."""
    draw = random.Random(0)
    normal = NormalDist(0, 1)

    def sample(mean: float) -> list[float]:
        return [mean + normal.inv_cdf(draw.random()) for _ in range(5)]

    zeros = [0.0] * 5
    null = [difference(sample(0), zeros) for _ in range(4000)]
    assert sum(not d.significant for d in null) / 4000 == pytest.approx(0.95, abs=0.012)
    # The true spread is 1, so the effect that the formula names for it is known.
    effect = (stats.t.ppf(0.975, 4) + stats.t.ppf(0.8, 4)) / 5**0.5
    seen = sum(difference(sample(effect), zeros).significant for _ in range(4000)) / 4000
    assert seen == pytest.approx(0.8, abs=0.03)


def test_a_verdict_says_what_was_and_what_could_have_been_seen():
    clear = Difference(0.097, 0.08, 0.114, 3, minimum_detectable_effect=0.02)
    assert clear.verdict("more", "less", "points", 100) == "+9.7 points [+8, +11], n = 3: more"
    unclear = Difference(0.003, -0.01, 0.016, 5, minimum_detectable_effect=0.017, claims=4)
    assert unclear.verdict("more", "less", "points", 100) == (
        "+0.3 points [-1, +1.6], n = 5, 4 claims together: no difference seen; one of 1.7 points "
        "would have been seen in four of five such experiments"
    )


@given(
    st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=6),
)
def test_turning_a_difference_around_turns_its_verdict(pairs):
    ours, others = zip(*pairs, strict=True)
    there, back = difference(ours, others), difference(others, ours)
    if there.significant:
        assert there.verdict("A is better", "B is better") == back.verdict(
            "B is better", "A is better"
        )


def test_what_holds_only_just_says_so():
    near = Difference(1.0, 0.1, 1.9, 5, minimum_detectable_effect=1.3)
    far = Difference(1.0, 0.3, 1.7, 5, minimum_detectable_effect=1.3)
    assert near.verdict("more", "less").endswith(": more, but only just")
    assert far.verdict("more", "less").endswith(": more")


def test_of_twenty_true_nulls_all_hold_together():
    """One claim in twenty fails by chance; with `claims` nineteen of twenty families do not."""
    draw = random.Random(0)
    normal = NormalDist(0, 1)
    zeros = [0.0] * 5

    def family(claims):
        samples = [[normal.inv_cdf(draw.random()) for _ in zeros] for _ in range(20)]
        return all(not difference(sample, zeros, claims).significant for sample in samples)

    assert sum(family(20) for _ in range(300)) / 300 > 0.9
    assert sum(family(1) for _ in range(300)) / 300 < 0.5


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: interval([1.0]), "samples must be at least 2 for an interval; got 1"),
        (lambda: difference([1.0, 2.0], [1.0]), "others must be as many as ours.*; got 1 and 2"),
    ],
)
def test_too_few_samples(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_dropout_and_augmentation_are_in_the_training_and_not_in_the_network(tmp_path):
    held = {
        "data": "shapes", "side": 16, "width": 1 / 8, "lr": 0.05, "epochs": 1, "warmup": 0,
        "train_images": 64, "valid_images": 20, "test_images": 20,
    }  # fmt: skip
    found = [
        compare_heads({**held, "head": head, "augment": augment}, 0, tmp_path / name)
        for name, head, augment in (
            ("plain", "flatten-fc", False),
            ("dropout", "flatten-fc+dropout", False),
            ("augmented", "flatten-fc", True),
        )
    ]
    assert len({result["parameters"] for result in found}) == 1
    plain, *others = (result["train_loss"][0] for result in found)
    assert all(abs(other - plain) > 1e-4 for other in others)
