"""Folders and zips as students and learning platforms make them, harmless and not."""

import io
import json
import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from grading_course import NAME, answered, write_course

from vgglab.grading.assignment import Assignment
from vgglab.grading.bundles import (
    MAX_BYTES,
    UnreadableError,
    read_notebook_in_zip,
    shown,
)
from vgglab.grading.submissions import (
    Submission,
    find_submissions,
    platform_id,
    read_answers,
    read_notebook,
    same_name,
    student_of,
)


@pytest.fixture(scope="module")
def assignment(tmp_path_factory):
    return Assignment(write_course(tmp_path_factory.mktemp("course")))


def zipped(files, **options):
    """The bytes of a zip of these files."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data, **options)
    return made.getvalue()


def read(data):
    return read_notebook_in_zip(data, NAME)


# Names


def test_no_two_names_look_the_same_and_none_makes_a_line_of_its_own():
    odd = ["\a", "\u200b", "\u202e", "\n", "\x1b[2K", "\u2066", "\\x07", "\udcff", "\ud800"]
    odd += ["", " ", "\u00a0", "\u2028"]
    names = [f"an{text}na" for text in odd]
    seen = [shown(name) for name in names]
    assert len(set(seen)) == len(names)
    assert all(text.isprintable() for text in seen)
    assert shown("josé 李 O'Brien-Łu.ipynb") == "josé 李 O'Brien-Łu.ipynb"
    assert shown("an\u202ena") == r"an\u202ena"


def test_composed_and_decomposed_names_are_one_students():
    assert same_name("Jose\u0301") == same_name("josé")
    assert student_of("Jose\u0301.ipynb") == "José"
    assert same_name("anna") != same_name("anne")


@pytest.mark.parametrize(
    ("name", "student", "number"),
    [
        ("Anna Alm_1234567_assignsubmission_file_", "Anna Alm", "1234567"),
        ("Anna Alm_1234567_assignsubmission_file", "Anna Alm", "1234567"),
        ("Anna_Maria Alm_12_assignsubmission_file_work.ipynb", "Anna_Maria Alm", "12"),
        ("almanna_10234_998877_01_small-1.ipynb", "almanna", "10234"),
        ("almanna_LATE_10234_998877_01_small.ipynb", "almanna", "10234"),
        ("anna_2_3_final.ipynb", "anna_2_3_final", None),
        ("anna.zip", "anna", None),
        (".ipynb", ".ipynb", None),
    ],
)
def test_students_are_found_in_the_names_that_platforms_make(name, student, number):
    assert (student_of(name), platform_id(name)) == (student, number)


# Zips of one notebook


def test_a_zip_of_one_notebook_is_read():
    files = {
        "work/final.ipynb": b"{}",
        "work/notes.txt": b"x",
        "__MACOSX/work/._final.ipynb": b"y",
        "work/.ipynb_checkpoints/final-checkpoint.ipynb": b"z",
    }
    assert read(zipped(files)) == b"{}"
    assert read(zipped({"a.ipynb": b"1", f"x/{NAME}.ipynb": b"2"})) == b"2"


def encrypted(data):
    """The same zip, saying that it needs a password."""
    return data.replace(b"PK\x03\x04\x14\x00\x00", b"PK\x03\x04\x14\x00\x01").replace(
        b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"
    )


def linked():
    info = zipfile.ZipInfo("a.ipynb")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(info, "/etc/passwd")
    return made.getvalue()


def lying_about_its_size():
    data = zipped({"a.ipynb": b" " * (MAX_BYTES + 10)})
    return data.replace(struct.pack("<I", MAX_BYTES + 10), struct.pack("<I", 10))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (zipped({}), "The zip holds no notebook."),
        (zipped({"a.pdf": b"x"}), "The zip holds no notebook."),
        (zipped({"x/.a.ipynb": b"x"}), "The zip holds no notebook, but the hidden x/.a.ipynb."),
        (zipped({"a.ipynb": b"1", "b.ipynb": b"2"}), "holds 2 notebooks (a.ipynb, b.ipynb)"),
        (zipped({"../../a.ipynb": b"1"}), "The zip names a place outside itself, ../../a.ipynb."),
        (zipped({"/etc/a.ipynb": b"1"}), "The zip names a place outside itself, /etc/a.ipynb."),
        (zipped({"C:\\a.ipynb": b"1"}), "The zip names a place outside itself"),
        (zipped({"x\\..\\..\\a.ipynb": b"1"}), "The zip names a place outside itself"),
        (zipped({"a.zip": zipped({"a.ipynb": b"1"})}), "The zip holds another zip"),
        (zipped({"a.ipynb": b" " * 30_000_000}), "The file has 30 MB; at most 20 MB are read."),
        (lying_about_its_size(), "The zip cannot be read"),
        (zipped({f"{i}.txt": b"" for i in range(1001)}), "The zip holds more than 1000 files."),
        (zipped({"a.ipynb": b"1"}, compress_type=zipfile.ZIP_LZMA), "packed in an uncommon way"),
        (encrypted(zipped({"a.ipynb": b"1"})), "The zip needs a password"),
        (linked(), "The file is a symbolic link"),
        (zipped({"a.ipynb": b"12"})[:-30], "The zip cannot be read"),
        (b"PK\x03\x04", "The zip cannot be read"),
        (b"PK\x05\x06" + b"\xff" * 18, "The zip cannot be read"),
    ],
    ids=lambda given: given if isinstance(given, str) else "zip",  # a zip holds the time
)  # fmt: skip
def test_a_zip_that_cannot_be_graded_is_said_in_a_sentence(data, words):
    with pytest.raises(UnreadableError) as caught:
        read(data)
    assert words in str(caught.value)
    assert str(caught.value).count("\n") == 0
    assert str(caught.value).endswith(".")


def test_damaged_zips_raise_nothing_else():
    whole = zipped({"a.ipynb": answered(), "b.txt": b"text" * 99})
    for place in range(0, len(whole), 3):
        for value in (0, 0xFF, whole[place] ^ 0x10):
            damaged = whole[:place] + bytes([value]) + whole[place + 1 :]
            try:
                read(damaged)
            except UnreadableError:
                continue


# The zip of a class


def test_the_zip_of_a_class_is_graded_as_its_folder_is(assignment, tmp_path):
    files = {
        "Anna Alm_11111_assignsubmission_file_/final.ipynb": answered(),
        "Ben Bo_22222_assignsubmission_file_/mine.zip": zipped({"x.ipynb": answered(q1=None)}),
        "carla/01_small/01_small.ipynb": answered(),
        "carla/02_other/02_other.ipynb": b"{}",
        "dora/essay.pdf": b"%PDF",
        "emil.ipynb": answered(q2=None),
        "fynn_3333_4444_01_small.ipynb": answered(),
        ".DS_Store": b"x",
        ".hidden.ipynb": b"x",
    }
    path = tmp_path / "class.zip"
    path.write_bytes(zipped(files))
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "folder")
    path_around = tmp_path / "around.zip"
    around = {f"submitted/{name}": data for name, data in files.items()}
    path_around.write_bytes(zipped(around | {"__MACOSX/submitted/._emil.ipynb": b"x"}))

    def seen(place):
        return {s.name: (s.student, s.is_hidden, said(s)) for s in find_submissions(place)}

    def said(submission: Submission):
        try:
            return tuple(read_answers(read_notebook(submission, assignment), assignment).cells)
        except UnreadableError as error:
            return str(error)

    want = seen(tmp_path / "folder")
    around = seen(path_around)
    assert around.pop("__MACOSX")[1]
    assert seen(path) == around == want
    assert want["Anna Alm_11111_assignsubmission_file_"] == ("Anna Alm", False, ("q1", "q2"))
    assert want["Ben Bo_22222_assignsubmission_file_"] == ("Ben Bo", False, ("q2",))
    assert want["carla"] == ("carla", False, ("q1", "q2"))
    assert want["dora"] == ("dora", False, "The folder holds no notebook.")
    assert want["fynn_3333_4444_01_small.ipynb"][0] == "fynn"
    assert [name for name, (_, hidden, _) in want.items() if hidden] == [
        ".DS_Store",
        ".hidden.ipynb",
    ]


def test_a_zip_of_one_student_is_one_submission(tmp_path):
    path = tmp_path / "class.zip"
    path.write_bytes(zipped({"anna/work.ipynb": answered(), "__MACOSX/anna/._work.ipynb": b"x"}))
    assert [(s.name, s.is_hidden) for s in find_submissions(path)] == [
        ("__MACOSX", True),
        ("anna", False),
    ]


@pytest.mark.parametrize("data", [b"", b"no zip", zipped({"../x.ipynb": b"1"}), zipped({})[:-3]])
def test_submissions_that_are_no_folder_and_no_sound_zip_are_refused(tmp_path, data):
    path = tmp_path / "class.zip"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"must be a folder or a zip; got .*class\.zip"):
        find_submissions(path)
    with pytest.raises(ValueError, match=r"must be a folder or a zip; got .*none"):
        find_submissions(tmp_path / "none")


# Folders


def test_a_folder_nested_1500_deep_is_said_in_a_sentence(assignment, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(1500):
        os.mkdir("d")
        os.chdir("d")
    try:
        (found,) = find_submissions(tmp_path)
        with pytest.raises(UnreadableError, match="more than 20 folders in each other"):
            read_notebook(found, assignment)
    finally:
        for _ in range(1500):  # shutil.rmtree calls itself as often
            os.chdir("..")
            os.rmdir("d")


def test_a_folder_whose_only_notebook_is_hidden_says_so(assignment, tmp_path):
    (tmp_path / "anna").mkdir()
    (tmp_path / "anna" / ".work.ipynb").write_bytes(answered())
    (found,) = find_submissions(tmp_path)
    with pytest.raises(UnreadableError, match=r"no notebook, but the hidden \.work\.ipynb"):
        read_notebook(found, assignment)


def test_a_folder_may_hold_the_zip_of_a_notebook(assignment, tmp_path):
    (tmp_path / "anna").mkdir()
    (tmp_path / "anna" / "work.zip").write_bytes(zipped({"a.ipynb": answered()}))
    (found,) = find_submissions(tmp_path)
    assert json.loads(read_notebook(found, assignment))["cells"]
    assert isinstance(found.path, Path)
