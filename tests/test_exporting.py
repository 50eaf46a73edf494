"""Exports of the question bank: read again by others' readers, or like what others write."""

import re
from dataclasses import replace
from html import escape, unescape
from io import BytesIO
from xml.etree import ElementTree
from zipfile import ZipFile

import moodle_xml_parser.parser
import pytest
import text2qti.config
import text2qti.qti
import text2qti.quiz
from click.testing import CliRunner

from vgglab.__main__ import main
from vgglab.course.bank import load_misconceptions, question_bank
from vgglab.course.exporting import moodle_xml, paper_key, paper_sheet, qti_package
from vgglab.course.quizzes import Option, Quiz

QTI = "{http://www.imsglobal.org/xsd/ims_qtiasiv1p2}"
BANK = question_bank(seed=3, shuffled=True)
STRANGE = Quiz(
    id="strange-1",
    question="Is 7 < 12 & “12 > 7”, <b>größer</b>?",
    options=(
        Option("Nein & <i>niemals</i>", "No, ]]> 'never' < it.", misconception="rounds-up"),
        Option("是的", "Yes — it is 512·7·7 ≥ 0.", right=True),
        Option("It > depends", 'It "does" not; &amp; is no ampersand.', misconception="lrn-helps"),
    ),
    difficulty=1,
)


def strange():
    return replace(BANK[0], quiz=STRANGE, name="strange-1")


def plain(html):
    """Return the text of a paragraph of HTML, as a reader sees it."""
    assert re.fullmatch(r"<p>[^<]*</p>", html), html
    return unescape(html[3:-4])


def in_moodle(data):
    """Return what a reader of Moodle XML finds: question, and options with score and feedback."""
    read = moodle_xml_parser.parser.parse_bytes(data)
    assert not read["cloze"]
    return read["multichoice"]


@pytest.mark.parametrize("questions", [BANK, [strange()]], ids=["bank", "strange"])
def test_a_reader_of_moodle_finds_what_was_written(questions):
    # That reader resolves entities once more than XML does, so it is given what it resolves.
    data = moodle_xml(questions, "VGG Lab")
    tree = ElementTree.fromstring(data)
    found = tree.findall("question[@type='multichoice']")
    assert len(in_moodle(data)) == len(found) == len(questions)
    for item, read, question in zip(found, in_moodle(data), questions, strict=True):
        quiz = question.quiz
        assert read.name == item.findtext("name/text") == question.name
        assert read.text_pre_parse == f"<p>{quiz.question}</p>"
        assert (read.single, read.shuffle_answers, read.default_grade) == (True, True, 1)
        assert "To read again" in read.general_feedback
        seen = [(option.answer, option.score_fraction, option.feedback) for option in read.options]
        assert seen == [
            (f"<p>{option.text}</p>", 100.0 * option.right, f"<p>{option.why}</p>")
            for option in quiz.options
        ]
        # And as HTML, what a student sees is the text, whatever signs are in it.
        assert plain(item.findtext("questiontext/text")) == quiz.question
        for answer, option in zip(item.findall("answer"), quiz.options, strict=True):
            assert plain(answer.findtext("text")) == option.text
            assert plain(answer.findtext("feedback/text")) == option.why
        assert [answer.get("fraction") for answer in item.findall("answer")].count("100") == 1


def test_moodle_has_tags_and_categories():
    tree = ElementTree.fromstring(moodle_xml(BANK, "A/B"))
    goal = None
    for entry, question in zip(tree.findall("question[@type='multichoice']"), BANK, strict=True):
        tags = [tag.text for tag in entry.findall("tags/tag/text")]
        assert entry.findtext("idnumber") == question.name
        assert f"goal {question.goal.id}" in tags
        assert f"difficulty {question.quiz.difficulty}" in tags
        believed = {tag.partition(" ")[2] for tag in tags if tag.startswith("misconception ")}
        assert believed == {o.misconception for o in question.quiz.options if not o.right}
    for entry in tree:
        if entry.get("type") == "category":
            goal = entry.findtext("category/text")
            # A slash in a name is doubled, or Moodle takes it for the next level.
            assert goal.startswith("$course$/top/A//B/")
    assert goal is not None


def assessment(package):
    """Return the assessment of a package: what its manifest calls so."""
    with ZipFile(BytesIO(package)) as files:
        manifest = ElementTree.fromstring(files.read("imsmanifest.xml"))
        named = {
            resource.get("type"): resource[0].get("href")
            for resource in manifest.iter()
            if resource.tag.endswith("}resource")
        }
        assert set(named.values()) | {"imsmanifest.xml"} == {
            name for name in files.namelist() if not name.endswith("/")
        }
        return ElementTree.fromstring(files.read(named["imsqti_xmlv1p2"]))


def form(element, names):
    """Return an element's tags, attributes and texts, with numbers in the place of identifiers."""

    def known(text):
        name = text.removesuffix("_fb")
        return f"{names.setdefault(name, len(names))}{text.removeprefix(name)}"

    attributes = {
        name: known(value) if name in ("ident", "linkrefid", "title") else value
        for name, value in element.attrib.items()
    }
    text = (element.text or "").strip()
    if element.tag in (f"{QTI}varequal", f"{QTI}fieldentry"):
        text = ",".join(map(known, text.split(",")))
    return element.tag, attributes, text, [form(child, names) for child in element]


def test_a_package_has_the_form_of_text2qtis():
    """Canvas imports what text2qti writes."""
    quiz = Quiz(
        "shapes-9",
        "What comes out?",
        (
            Option("Seven", "Five halvings.", right=True),
            Option("Eight", "It rounds down.", misconception="rounds-up"),
            Option("None", "No.", misconception="lrn-helps"),
        ),
        difficulty=1,
    )
    written = qti_package([replace(BANK[0], quiz=quiz, name=quiz.id)], "Sizes")
    marks = ["*", "", ""]
    text = ["Quiz title: Sizes", "", f"1.  {quiz.question}", "... general"]
    for mark, letter, option in zip(marks, "abc", quiz.options, strict=True):
        text += [f"{mark}{letter})  {option.text}", f"... {option.why}"]
    other = text2qti.quiz.Quiz("\n".join(text) + "\n", config=text2qti.config.Config())
    theirs = text2qti.qti.QTI(other).zip_bytes()

    ours, theirs = (assessment(package).find(f".//{QTI}item") for package in (written, theirs))
    for item in (ours, theirs):
        read_again = item.find(f"{QTI}itemfeedback[@ident='general_fb']")
        read_again.find(f".//{QTI}mattext").text = "general"
        for label, entry in item.iter(f"{QTI}qtimetadatafield"):
            if label.text == "assessment_question_identifierref":
                entry.text = "its own"
        item.set("title", "its own")
    assert form(ours, {}) == form(theirs, {})


@pytest.mark.parametrize("questions", [BANK, [strange()]], ids=["bank", "strange"])
def test_a_package_scores_one_option_and_gives_each_its_reason(questions):
    root = assessment(qti_package(questions, "VGG Lab"))
    items = root.findall(f".//{QTI}item")
    assert [item.get("title") for item in items] == [question.name for question in questions]
    assert len({item.get("ident") for item in items}) == len(items)
    for item, question in zip(items, questions, strict=True):
        options = question.quiz.options
        assert plain(item.findtext(f"{QTI}presentation/{QTI}material/{QTI}mattext")) == (
            question.quiz.question
        )
        labels = item.findall(f".//{QTI}response_label")
        texts = {label.get("ident"): plain(label.findtext(f".//{QTI}mattext")) for label in labels}
        assert list(texts.values()) == [option.text for option in options]
        conditions = item.findall(f".//{QTI}respcondition")
        scored = [
            condition.findtext(f".//{QTI}varequal")
            for condition in conditions
            if condition.findtext(f"{QTI}setvar") == "100"
        ]
        assert [texts[ident] for ident in scored] == [o.text for o in options if o.right]
        shown = {
            condition.findtext(f".//{QTI}varequal"): condition.find(f"{QTI}displayfeedback")
            for condition in conditions
            if condition.find(f"{QTI}displayfeedback") is not None
        }
        feedback = {
            entry.get("ident"): entry.findtext(f".//{QTI}mattext")
            for entry in item.findall(f"{QTI}itemfeedback")
        }
        for label, option in zip(labels, options, strict=True):
            assert plain(feedback[shown[label.get("ident")].get("linkrefid")]) == option.why
        assert len(feedback) == len(options) + 1


def test_the_same_questions_give_the_same_bytes():
    for export in (moodle_xml, qti_package, paper_sheet, paper_key):
        assert export(BANK, "VGG Lab") == export(BANK, "VGG Lab")


def test_a_sheet_does_not_know_which_option_is_right():
    """It is the same, to the last bit, whichever option is right, and whatever is said of each."""

    def turned(question):
        options = question.quiz.options
        others = (
            replace(option, right=k == 0, why="?", misconception="rounds-up" if k else "")
            for k, option in enumerate(options)
        )
        return replace(question, quiz=replace(question.quiz, options=tuple(others)))

    sheet = paper_sheet(BANK, "VGG Lab")
    assert sheet == paper_sheet([turned(question) for question in BANK], "VGG Lab")
    text = sheet.decode()
    assert text.count("<ol type='a'>") == len(BANK)
    for question in BANK:
        assert escape(question.quiz.question) in text
    assert paper_key(BANK, "VGG Lab") != paper_key([turned(question) for question in BANK], "VGG")


def test_a_key_says_what_is_right_and_what_others_believe():
    rows = re.findall(r"<tr>(.*?)</tr>", paper_key([strange()], "Key").decode())[1:]
    right = [row for row in rows if row.startswith("<th>")]
    assert len(rows) == 3
    assert [unescape(row) for row in right] == [
        "<th>1 b</th><th>是的</th><th>right</th><th>Yes — it is 512·7·7 ≥ 0.</th>"
    ]
    assert escape(load_misconceptions()["rounds-up"].belief) in rows[0]


@pytest.mark.parametrize(
    ("style", "name", "written"),
    [
        ("moodle", "bank.xml", ["bank.xml"]),
        ("qti", "bank.zip", ["bank.zip"]),
        ("paper", "bank.html", ["bank-key.html", "bank.html"]),
    ],
)
def test_the_command_writes_files(style, name, written, tmp_path):
    call = ["quiz", "export", str(tmp_path / name), "--format", style, "--pack", "shapes"]
    result = CliRunner().invoke(main, [*call, "--seed", "7"])
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == written
    assert result.output.count("8 questions") == len(written)
    first = (tmp_path / name).read_bytes()
    CliRunner().invoke(main, [*call, "--seed", "8"])
    assert (tmp_path / name).read_bytes() != first


def test_the_command_says_what_is_not_there(tmp_path):
    out = str(tmp_path / "bank.xml")
    result = CliRunner().invoke(main, ["quiz", "export", out, "--format", "qti", "--pack", "x"])
    assert result.exit_code == 2
    assert result.output == "Error: pack must be one of shapes; got 'x'\n"
    assert not list(tmp_path.iterdir())


def test_the_command_makes_a_folder_or_says_why_it_cannot(tmp_path):
    call = ["--format", "moodle", "--pack", "shapes"]
    out = tmp_path / "new" / "bank.xml"
    assert CliRunner().invoke(main, ["quiz", "export", str(out), *call]).exit_code == 0
    inside = str(out / "bank.xml")
    result = CliRunner().invoke(main, ["quiz", "export", inside, *call])
    assert result.exit_code == 2
    assert result.output.startswith("Error: nothing can be written to")
    assert result.output.count("\n") == 1
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [out]
