"""Submissions that want points for nothing, or harm: none may earn more than it honestly would."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock
from grading_course import RIGHT, answered, require_sandbox, write_course
from sampling import sampled

from vgglab.grading import sandbox
from vgglab.grading.assignment import Assignment
from vgglab.grading.attacks import all_attacks
from vgglab.grading.collect import collect
from vgglab.grading.runner import grade

# Each is the answer cell of q1, worth 3 points, and honestly worth 0; q2 beside it is right and
# worth 2. JUDGE, CANARY, PORT, SOCKET and ABSTRACT are places outside the sandbox.
HEAD = f"{RIGHT['q1']}\nright, NAME = add, 'add'\ndel add\n"
HOSTILE = {a.name: f"{HEAD}{a.cell}\nadd = answer\n" for a in all_attacks() if a.cell}


# These break only their own question, and the feedback says how.
SECONDS, MEMORY_MB = 1, 300  # of the course
WHY = {
    "loop": [f"not finished in {SECONDS} seconds"],
    "memory": [f"needs more than {MEMORY_MB} MB", "raises an exception"],  # group, or process limit
    "exits": ["the process ended before it answered"],
    "crash": ["the process ended before it answered"],
    "huge_answer": ["an answer of another type"],
    "imports_numpy": ["imports what is not there"],
    "imports_the_answer": ["imports what is not there"],
    "reads_the_judge": ["raises an exception"],
    "network": ["raises an exception"],
    "evil_exception": ["raises an exception"],
}
BREAK_A_QUESTION = sampled(WHY, 2)
STOP_THE_WORKER = sampled(["loop_in_the_cell", "exits_in_the_cell"], 1)
CHOSEN = sorted({*sampled(HOSTILE, 5), *BREAK_A_QUESTION, *STOP_THE_WORKER})

ABSTRACT = f"\0vgglab-test-{os.getpid()}"  # a socket without a file


class Outside:
    """What a submission would like to reach."""

    def __init__(self, folder: Path) -> None:
        self.canary = folder / "canary"
        self.canary.mkdir(mode=0o777)
        self.canary.chmod(0o777)
        (self.canary / "bird").write_text("alive")
        self.connections = 0
        self.servers = [socket.create_server(("127.0.0.1", 0)), *self._unix(folder / "socket")]
        self.places = {
            "CANARY": str(self.canary),
            "PORT": self.servers[0].getsockname()[1],
            "SOCKET": str(folder / "socket"),
            "ABSTRACT": ABSTRACT[1:],
            "SECONDS": SECONDS,
        }
        self.threads = [threading.Thread(target=self._accept, args=(s,)) for s in self.servers]
        for thread in self.threads:
            thread.start()

    def _unix(self, path):
        for address in (str(path), ABSTRACT):
            server = socket.socket(socket.AF_UNIX)
            server.bind(address)
            server.listen()
            yield server

    def _accept(self, server):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                self.connections += 1
                # Who is hung up on before it has sent raises an error.
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(1)
                    connection.recv(5)

    def close(self):
        for server, thread in zip(self.servers, self.threads, strict=True):
            server.shutdown(socket.SHUT_RDWR)  # or accept would hold on to it
            thread.join()
            server.close()


MARK = f"student-of-{os.getpid()}"  # other sandboxes of this machine have another user


@pytest.fixture(autouse=True, scope="module")
def _mark():
    """Mark what is started here by a variable that all processes of a sandbox inherit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sandbox.ENVIRONMENT, "USER", MARK)
        yield


def sandboxes():
    """Return the processes of the sandboxes that were started here."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"USER={MARK}\0".encode() in path.read_bytes():
                found.append(path.parent.name)
    return found


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """Grade all of them in one run, honest ones between them; once for all test processes."""
    require_sandbox()
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "hostile"
    with FileLock(f"{folder}.lock"):
        if not (folder / "seen.json").exists():
            folder.mkdir()
            (folder / "seen.json").write_text(json.dumps(grade_all(folder)))
    return json.loads((folder / "seen.json").read_text()) | {"folder": folder}


def grade_all(folder):
    """Return what was seen of the submissions, and of what is outside."""
    outside = Outside(folder)
    course = write_course(folder, SECONDS)
    places = outside.places | {"JUDGE": str(course / "judge.py")}
    head = "".join(f"{name} = {value!r}\n" for name, value in places.items())
    submissions = folder / "submissions"
    submissions.mkdir()
    for name in CHOSEN:
        source = HOSTILE[name]
        (submissions / f"{name}.ipynb").write_bytes(answered(q1=head + source))
        (submissions / f"{name}_then.ipynb").write_bytes(answered())
    before = {path: path.read_bytes() for path in course.rglob("*") if path.is_file()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECRET_OF_THE_GRADER", "1")
        # Half of all submissions wait; three at a time keep two processors busy.
        lines = list(grade(Assignment(course), submissions, folder / "results", workers=3))
    left = sandboxes()
    collect(folder / "results", folder / "out")
    results = [json.loads(path.read_text()) for path in (folder / "results").glob("*.json")]
    outside.close()
    return {
        "status": {name: status for name, status, _ in lines},
        "results": {result["student"]: result for result in results},
        "canary": {path.name: path.read_text() for path in outside.canary.iterdir()},
        "connections": outside.connections,
        "unchanged": before == {path: path.read_bytes() for path in before},
        "files": sorted(path.name for path in folder.iterdir()),
        "left": left,
    }


@pytest.mark.sampled
@pytest.mark.parametrize("name", CHOSEN)
def test_no_submission_earns_more_than_it_honestly_would(graded, name):
    assert graded["status"][f"{name}.ipynb"] == "graded"
    scores = {q["id"]: q["score"] for q in graded["results"][name]["questions"]}
    assert scores["q1"] == 0
    assert scores["q2"] <= 2


@pytest.mark.sampled
@pytest.mark.parametrize("name", CHOSEN)
def test_the_next_submission_is_graded_right(graded, name):
    result = graded["results"][f"{name}_then"]
    assert (result["score"], result["out_of"]) == (5, 5)


@pytest.mark.sampled
@pytest.mark.parametrize("name", BREAK_A_QUESTION)
def test_the_feedback_says_what_happened_and_the_other_question_counts(graded, name):
    q1, q2 = graded["results"][name]["questions"]
    assert q1["probes"][0]["why"] in WHY[name]
    assert q2["score"] == 2


@pytest.mark.sampled
@pytest.mark.parametrize("name", STOP_THE_WORKER)
def test_a_cell_that_stops_the_worker_is_left_out(graded, name):
    q1, q2 = graded["results"][name]["questions"]
    assert "The cell was left out" in q1["notes"][0]
    assert q2["score"] == 2


@pytest.mark.sampled
def test_nothing_outside_is_changed_reached_or_left_behind(graded):
    assert graded["canary"] == {"bird": "alive"}
    assert graded["connections"] == 0
    assert graded["unchanged"]
    assert graded["files"] == ["01_small", "canary", "out", "results", "socket", "submissions"]
    assert graded["left"] == []


@pytest.mark.sampled
def test_feedback_shows_no_value_of_a_hidden_probe(graded):
    probe = Assignment(graded["folder"] / "01_small").probes[1]
    values = {str(abs(value)) for call in probe.calls for value in call.args}
    hidden = max(values, key=len)
    for path in (graded["folder"] / "out").rglob("*.*"):
        assert hidden not in path.read_text(encoding="utf-8"), path
        assert "Seen" not in path.read_text(encoding="utf-8"), path


@pytest.mark.sampled
@pytest.mark.parametrize("name", sampled(["reads_the_judge", "network", "other_sockets"], 1))
def test_outside_the_sandbox_the_same_code_succeeds(tmp_path, name):
    outside = Outside(tmp_path)
    places = outside.places | {"JUDGE": str(write_course(tmp_path) / "judge.py")}
    head = "".join(f"{place} = {value!r}\n" for place, value in places.items())
    code = f"{head}{HOSTILE[name]}\nprint(add(1, 2))"
    assert subprocess.run([sys.executable, "-c", code], stdout=-1, text=True).stdout == "3\n"
    outside.close()


def test_every_process_of_a_sandbox_ends_with_it():
    """The daemon has no time to notice: the kernel ends all that is in its namespace."""
    box = require_sandbox()
    source = (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(60)\ntime.sleep(1)"
    )
    seen, over = set(), threading.Event()

    def look():
        while not over.is_set():
            seen.update(sandboxes())

    spy = threading.Thread(target=look)
    spy.start()
    try:
        assert box.run({"cells": [{"id": "q1", "source": source}]}, [], seconds=600).ended == "done"
    finally:
        over.set()
        spy.join()
    assert seen
    assert sandboxes() == []


def test_the_sandbox_sees_only_what_it_needs():
    box = require_sandbox()
    source = (
        "import os\n"
        "def see():\n"
        "    proc = os.listdir('/proc')\n"
        "    top = sorted(os.listdir('/'))\n"
        "    return [top, dict(os.environ), os.getuid(), os.listdir('/tmp'), proc]"
    )
    call = {"function": "see", "args": [], "kwargs": {}, "name": None, "returned": True}
    call |= {"device": None, "raises": False}
    probe = {"index": 0, "question": "q1", "calls": [call]}
    outcome = box.run({"cells": [{"id": "q1", "source": source}]}, [probe], seconds=5)
    (answers,) = [m["answers"] for m in outcome.messages if "answers" in m]
    top, environ, user, scratch, proc = answers[0]["value"]
    assert proc in ([], ["cpuinfo"])
    python = Path(sys.base_prefix).parts  # may lie anywhere
    system = {"dev", "etc", "lib", "lib32", "lib64", "proc", "tmp", "usr", "worker.py"}
    assert set(top) <= system | {python[1]}
    inside = {**sandbox.ENVIRONMENT, "PWD": "/tmp"}  # bubblewrap says where it is
    assert dict(environ["$dict"]) in (inside, inside | {"LC_CTYPE": "C.UTF-8"})
    assert user == 65534
    assert set(scratch) <= set(python[2:3])


def test_killing_the_grader_ends_its_sandboxes(tmp_path):
    require_sandbox()
    course = write_course(tmp_path, seconds=3600)
    submissions = tmp_path / "submissions"
    submissions.mkdir()
    (submissions / "a.ipynb").write_bytes(answered(q1="import time\ntime.sleep(3600)"))
    code = (
        "import sys; from pathlib import Path; from vgglab.grading.assignment import Assignment;"
        "from vgglab.grading import sandbox; from vgglab.grading.runner import grade;"
        "sandbox.ENVIRONMENT['USER'] = sys.argv[4];"
        "list(grade(Assignment(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])))"
    )
    command = [sys.executable, "-c", code, course, submissions, tmp_path / "results", MARK]
    grader = subprocess.Popen(command)
    while not sandboxes() or not (tmp_path / "results").exists():
        assert grader.poll() is None
        time.sleep(0.05)
    grader.kill()
    grader.wait()
    for _ in range(12_000):
        if not sandboxes():
            break
        time.sleep(0.05)
    assert not sandboxes()
    assert list((tmp_path / "results").iterdir()) == []
