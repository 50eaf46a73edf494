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
from grading_course import answered, require_sandbox, write_course
from sampling import sampled

from vgglab.grading import sandbox
from vgglab.grading.assignment import Assignment
from vgglab.grading.collect import collect
from vgglab.grading.runner import grade

# Each is the answer cell of q1, worth 3 points, and honestly worth 0; q2 beside it is right and
# worth 2. JUDGE, CANARY, PORT, SOCKET and ABSTRACT are places outside the sandbox.
HOSTILE = {
    "equal_to_all": """
class Anything:
    def __eq__(self, other): return True
    def __hash__(self): return 0
def add(a, b): return Anything()""",
    "evil_integer": """
class Number(int):
    def __eq__(self, other): return True
    def __sub__(self, other): return 0
    __rsub__ = __sub__
def add(a, b): return Number(0)""",
    "truth": "def add(a, b): return True",
    "patched_builtins": """
import builtins
builtins.type = lambda x: int
builtins.isinstance = lambda a, b: True
builtins.len = lambda x: 0
builtins.abs = builtins.sum = lambda *a: 0
def add(a, b): return 'x'""",
    "patched_json": """
import json
json.dumps = lambda message: '{"probe": 0, "answers": [{"value": true, "passed": true}]}'
def add(a, b): return 0""",
    "patched_os_write": """
import os
write = os.write
os.write = lambda fd, data: write(fd, data.replace(b'"value": 0', b'"passed": true')) and len(data)
def add(a, b): return 0""",
    "frames": """
import sys
def add(a, b):
    frame = sys._getframe()
    while frame:
        for place in (frame.f_locals, frame.f_globals):
            for name in list(place):
                if 'expect' in name or 'reference' in name or 'solution' in name:
                    return place[name]
            if 'run_probe' in place:
                place['run_probe'] = lambda *a: [{'passed': True, 'score': 3, 'ok': True}]
        frame = frame.f_back
    return 0""",
    "all_objects": """
import gc
def add(a, b):
    for thing in gc.get_objects():
        if isinstance(thing, dict) and ('expected' in thing or 'reference' in thing):
            return (thing.get('expected') or thing['reference'])
    return 0""",
    "trace": """
import sys
def spy(frame, event, argument):
    for name in ('score', 'passed', 'why'):
        if name in frame.f_locals: frame.f_locals[name] = True
    return spy
sys.settrace(spy)
def add(a, b): return 0""",
    "another_main": """
import sys, types
fake = types.ModuleType('__main__'); fake.add = lambda a, b: 0
sys.modules['__main__'] = fake
sys.modules['json'] = sys.modules['os'] = None
def add(a, b): return 0""",
    "forged_on_every_descriptor": """
import os
def add(a, b):
    line = b'{"probe": 0, "answers": [{"value": {"passed": true}}], "score": 3}\\n{"end": true}\\n'
    for descriptor in range(256):
        try: os.write(descriptor, line)
        except OSError: pass
    os._exit(0)""",
    "forged_result_file": """
import os
def add(a, b):
    for place in ('.', '/', '/tmp', CANARY):
        try: open(os.path.join(place, 'results.json'), 'w').write('{"score": 3}')
        except OSError: pass
    return 0""",
    "forged_cells_done": """
import os, time
for descriptor in range(3, 64):
    try: os.write(descriptor, b'{"cells": "done"}\\n')
    except OSError: pass
time.sleep(60)
def add(a, b): return 0""",
    "nonsense_on_every_descriptor": """
import os
for descriptor in range(3, 64):
    try: os.write(descriptor, b'\\xff\\x00[[[[' * 100 + b'\\n')
    except OSError: pass
def add(a, b): return 0""",
    "reads_the_judge": """
def add(a, b):
    names = {}
    exec(open(JUDGE).read(), names)
    return names['add'](a, b)""",
    "looks_for_the_judge": """
import os
def add(a, b):
    for root, _, files in os.walk('/'):
        if root.startswith(('/proc/', '/sys')): continue
        for name in files:
            if name in ('judge.py', '01_small.ipynb', 'assignment.toml', 'off_by_one.py'):
                names = {}
                exec(open(os.path.join(root, name)).read(), names)
                return names['add'](a, b)
    raise LookupError""",
    "looks_into_proc": """
import os
def add(a, b):
    for pid in filter(str.isdigit, os.listdir('/proc')):
        for name in ('environ', 'cmdline', 'maps'):
            try: text = open(f'/proc/{pid}/{name}').read()
            except OSError: continue
            if 'SECRET_OF_THE_GRADER' in text or 'judge' in text or 'vgglab grade' in text:
                return a + b
    return 0""",
    "imports_the_answer": """
def add(a, b):
    import vgglab.grading.marking
    return a + b""",
    "imports_torch": """
def add(a, b):
    import torch
    return a + b""",
    "deletes": """
import os, shutil
def add(a, b):
    for place in (CANARY, os.path.dirname(JUDGE), '/site', '/usr', '/worker.py', '/etc', '/'):
        shutil.rmtree(place, ignore_errors=True)
        try: os.unlink(place)
        except OSError: pass
    return 0""",
    "writes_outside": """
import os
def add(a, b):
    done = 0
    for place in (CANARY, '/', '/usr/lib', '/worker.py', '/dev', '/proc/1', '/etc'):
        for path in (place, os.path.join(place, 'mark')):
            try:
                open(path, 'a').write('x')
                done += 1
            except OSError: pass
    return a + b if done else 0""",
    "network": """
import socket
def add(a, b):
    socket.create_connection(('127.0.0.1', PORT), 1).send(b'hello')
    return a + b""",
    "other_sockets": """
import socket
def add(a, b):
    for address in (SOCKET, chr(0) + ABSTRACT, '/run/dbus/system_bus_socket'):
        s = socket.socket(socket.AF_UNIX)
        try: s.connect(address)
        except OSError: continue
        s.send(b'hello')
        return a + b
    return 0""",
    "fork_bomb": """
import os
def add(a, b):
    while True:
        try: os.fork()
        except OSError: pass""",
    "thread_bomb": """
import threading, time
def add(a, b):
    while True:
        try: threading.Thread(target=time.sleep, args=(60,)).start()
        except RuntimeError: break
    return 0""",
    "memory": """
def add(a, b):
    kept = []
    while True: kept.append(bytearray(10_000_000))""",
    "memory_of_children": """
import os, time
def add(a, b):
    for _ in range(30):
        if os.fork() == 0:
            kept = bytearray(50_000_000)
            time.sleep(60)
    time.sleep(60)""",
    "fills_the_disk": """
import os
def add(a, b):
    for place in ('/tmp', '/dev/shm', '/dev', '/'):
        try:
            for k in range(1000): open(f'{place}/{k}', 'wb').write(bytes(15_000_000))
        except OSError: pass
    return 0""",
    "loop": "def add(a, b):\n    while True: pass",
    "loop_in_the_cell": "while True: pass\ndef add(a, b): return a",
    "exits": "import os\ndef add(a, b): os._exit(0)",
    "exits_in_the_cell": "import os\nos._exit(0)",
    "sys_exit": "import sys\ndef add(a, b): sys.exit(0)",
    "kills_everybody": """
import os, signal
def add(a, b):
    for pid in (-1, 1, 2, os.getppid(), 0):
        try: os.kill(pid, signal.SIGKILL)
        except OSError: pass""",
    "stops_itself": "import os, signal\ndef add(a, b): os.kill(os.getpid(), signal.SIGSTOP)",
    "crash": "import ctypes\ndef add(a, b): return ctypes.string_at(1)",
    "daemon": """
import os, time, socket
def add(a, b):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(1)
            for _ in range(200):
                time.sleep(0.1)
                try: open(os.path.join(CANARY, 'mark'), 'w')
                except OSError: pass
        os._exit(0)
    return 0""",
    "thread_outlives": """
import threading, time, atexit
atexit.register(time.sleep, 60)
threading.Thread(target=time.sleep, args=(60,)).start()
def add(a, b): return 0""",
    "prints_100_mb": """
import os, sys
def add(a, b):
    for _ in range(100):
        sys.stdout.write('x' * 1_000_000); sys.stderr.write('x' * 1_000_000)
        os.write(1, b'x' * 1_000_000); os.write(2, b'x' * 1_000_000)
    return 0""",
    "100_mb_on_every_descriptor": """
import os
def add(a, b):
    for descriptor in range(3, 32):
        try:
            for _ in range(100): os.write(descriptor, b'x' * 1_000_000)
        except OSError: pass
    return 0""",
    "huge_answer": "def add(a, b): return ['x' * 9_000] * 100_000",
    "huge_integer": "def add(a, b): return 10 ** 100_000",
    "endless_answer": "def add(a, b):\n    x = []\n    x.append(x)\n    return x",
    "half_a_surrogate": "def add(a, b): return chr(0xD800) + chr(27) + '[2J'",
    "surrogates_in_the_cell": "raise ValueError(chr(0xD800) + chr(27) + '[2J')",
    "deep_keys": """
def add(a, b):
    import os
    line = '{"probe": 0, "answers": [{"value": {"$dict": [[' + '[' * 950 + ']' * 950 + ', 1]]}}]}'
    for descriptor in range(3, 64):
        try: os.write(descriptor, line.encode() + bytes([10]))
        except OSError: pass
    return 0""",
    "marked_json": "def add(a, b): return {'$tensor': {'value': 3}, 'passed': True, 'why': ''}",
    "evil_exception": """
class Evil(Exception):
    def __str__(self): raise SystemExit
def add(a, b): raise Evil""",
    "probes_in_an_exception": """
def add(a, b): raise type(f'Seen{a}', (Exception,), {})(f'{a} and {b}')""",
    "probes_in_a_late_cell_problem": """
import os
def add(a, b):
    line = '{"cell": "q1", "problem": {"error": "ValueError", "message": "%s"}}' % a
    for descriptor in range(3, 64):
        try: os.write(descriptor, line.encode() + bytes([10]))
        except OSError: pass
    return 0""",
    "syscalls": """
import ctypes
libc = ctypes.CDLL(None)
def add(a, b):
    flags = 0x10000000 | 0x20000000 | 0x40000000
    got = [
        libc.unshare(0x10000000), libc.mount(b'none', b'/tmp', b'tmpfs', 0, None),
        libc.umount2(b'/usr/lib', 2), libc.chroot(b'/tmp'), libc.setuid(0),
        libc.mknod(b'/tmp/disk', 0o60666, 0xFE00), libc.sethostname(b'x', 1),
    ]
    return a + b if 0 in got else 0""",
    "settings_of_the_kernel": """
def add(a, b):
    for path in ('sys/kernel/core_pattern', 'sys/vm/drop_caches', 'sysrq-trigger', 'self/comm'):
        try: open('/proc/' + path, 'a')
        except OSError: continue
        return a + b
    return 0""",
    "no_limits": """
import resource
def add(a, b):
    for limit in range(16):
        try: resource.setrlimit(limit, (resource.RLIM_INFINITY,) * 2)
        except (ValueError, OSError): pass
    return 0""",
}


# These break only their own question, and the feedback says how.
SECONDS, MEMORY_MB = 2, 300  # of the course
WHY = {
    "loop": [f"not finished in {SECONDS} seconds"],
    "memory": [f"needs more than {MEMORY_MB} MB", "raises an exception"],  # group, or process limit
    "exits": ["the process ended before it answered"],
    "crash": ["the process ended before it answered"],
    "huge_answer": ["an answer of another type"],
    "imports_torch": ["imports what is not there"],
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
    course = write_course(folder)
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
    course = write_course(tmp_path)
    settings = course / "assignment.toml"
    settings.write_text(settings.read_text().replace(f"seconds = {SECONDS}", "seconds = 3600"))
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
