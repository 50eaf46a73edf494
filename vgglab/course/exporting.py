"""The question bank for others' systems: Moodle XML, QTI 1.2 for Canvas, and paper.

Moodle's form is described at https://docs.moodle.org/en/Moodle_XML_format, QTI 1.2 at
https://www.imsglobal.org/question/index.html; Canvas reads settings of the quiz from a second file
beside the assessment, in a form of its own.
"""

import re
from collections.abc import Sequence
from html import escape
from io import BytesIO
from xml.etree.ElementTree import Element, SubElement, indent, tostring
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from vgglab.course.bank import Goal, Question, load_misconceptions
from vgglab.course.exercises import CHAPTERS
from vgglab.course.notebooks import HOMEPAGE
from vgglab.course.quizzes import LETTERS

QTI = "http://www.imsglobal.org/xsd/ims_qtiasiv1p2"
CANVAS = "http://canvas.instructure.com/xsd/cccv1p0"
PACKAGE = "http://www.imsglobal.org/xsd/imsccv1p1/imscp_v1p1"
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # so that the same questions give the same bytes


def moodle_xml(questions: Sequence[Question], title: str) -> bytes:
    """Return questions as Moodle XML.

    Each category is a goal; tags are chapter, goal, difficulty, pack, and the misconceptions of the
    wrong options. Each option has its reason as feedback; the general one leads to the book.

    Parameters
    ----------
    questions
        Of `vgglab.course.bank.question_bank`.
    title
        Of the category that holds the others.
    """
    root = Element("quiz")
    category = None
    for question in questions:
        if question.goal != category:
            category = question.goal
            names = (name.replace("/", "//") for name in (title, _heading(category)))
            path = "/".join(["$course$", "top", *names])
            entry = SubElement(root, "question", type="category")
            _text(SubElement(entry, "category"), path)
        root.append(_moodle_question(question))
    return _xml(root)


def _moodle_question(question: Question) -> Element:
    quiz = question.quiz
    entry = Element("question", type="multichoice")
    _text(SubElement(entry, "name"), question.name)
    _html(SubElement(entry, "questiontext"), _paragraph(quiz.question))
    _html(SubElement(entry, "generalfeedback"), _where_to_read(question.goal))
    for name, value in {
        "defaultgrade": "1",
        "penalty": "0.3333333",  # as Moodle proposes: where one may try again, it counts less
        "hidden": "0",
        "idnumber": question.name,
        "single": "true",
        "shuffleanswers": "true",
        "answernumbering": "abc",
    }.items():
        SubElement(entry, name).text = value
    for option in quiz.options:
        answer = SubElement(entry, "answer", fraction="100" if option.right else "0")
        _html(answer, _paragraph(option.text))
        _html(SubElement(answer, "feedback"), _paragraph(option.why))
    tags = SubElement(entry, "tags")
    for tag in _tags(question):
        _text(SubElement(tags, "tag"), tag)
    return entry


def _tags(question: Question) -> list[str]:
    goal, quiz = question.goal, question.quiz
    tags = [f"chapter {goal.chapter}", f"goal {goal.id}", f"difficulty {quiz.difficulty}"]
    if question.pack:
        tags.append(f"pack {question.pack}")
    believed = {option.misconception for option in quiz.options if not option.right}
    return tags + [f"misconception {name}" for name in sorted(believed)]


def _text(parent: Element, text: str) -> None:
    SubElement(parent, "text").text = text


def _html(parent: Element, html: str) -> None:
    parent.set("format", "html")
    _text(parent, html)


def qti_package(questions: Sequence[Question], title: str) -> bytes:
    """Return questions as a zip with QTI 1.2, as Canvas imports it.

    Parameters
    ----------
    questions
        Of `vgglab.course.bank.question_bank`.
    title
        Of the quiz. Canvas replaces a quiz that was imported under the same title.
    """
    name = _ident(title)
    files = {
        "imsmanifest.xml": _manifest(name),
        f"{name}/assessment_meta.xml": _canvas_quiz(name, title, len(questions)),
        f"{name}/{name}.xml": _assessment(name, title, questions),
    }
    stream = BytesIO()
    with ZipFile(stream, "w") as package:
        for path, root in files.items():
            package.writestr(ZipInfo(path, LONG_AGO), _xml(root), ZIP_DEFLATED)
    return stream.getvalue()


def _manifest(name: str) -> Element:
    root = Element("manifest", xmlns=PACKAGE, identifier=f"{name}_manifest")
    metadata = SubElement(root, "metadata")
    SubElement(metadata, "schema").text = "IMS Content"
    SubElement(metadata, "schemaversion").text = "1.1.3"
    SubElement(root, "organizations")
    resources = SubElement(root, "resources")
    quiz = SubElement(resources, "resource", identifier=name, type="imsqti_xmlv1p2")
    SubElement(quiz, "file", href=f"{name}/{name}.xml")
    SubElement(quiz, "dependency", identifierref=f"{name}_meta")
    kind = "associatedcontent/imscc_xmlv1p1/learning-application-resource"
    place = f"{name}/assessment_meta.xml"
    meta = SubElement(resources, "resource", identifier=f"{name}_meta", type=kind, href=place)
    SubElement(meta, "file", href=place)
    return root


def _canvas_quiz(name: str, title: str, points: int) -> Element:
    root = Element("quiz", xmlns=CANVAS, identifier=name)
    for field, value in {
        "title": title,
        "description": "",
        "shuffle_answers": "true",
        "scoring_policy": "keep_highest",
        "quiz_type": "practice_quiz",
        "points_possible": f"{points}.0",
        "show_correct_answers": "true",
        "allowed_attempts": "1",
        "available": "false",
    }.items():
        SubElement(root, field).text = value
    return root


def _assessment(name: str, title: str, questions: Sequence[Question]) -> Element:
    root = Element("questestinterop", xmlns=QTI)
    assessment = SubElement(root, "assessment", ident=name, title=title)
    _metadata(assessment, {"cc_maxattempts": "1"})
    section = SubElement(assessment, "section", ident="root_section")
    for question in questions:
        section.append(_item(question))
    return root


def _item(question: Question) -> Element:
    quiz = question.quiz
    ident = _ident(question.name)
    idents = [f"{ident}_{LETTERS[number]}" for number in range(len(quiz.options))]
    item = Element("item", ident=ident, title=question.name)
    fields = {
        "question_type": "multiple_choice_question",
        "points_possible": "1",
        "original_answer_ids": ",".join(idents),
        "assessment_question_identifierref": f"{ident}_question",
    }
    _metadata(SubElement(item, "itemmetadata"), fields)

    presentation = SubElement(item, "presentation")
    _material(presentation, _paragraph(quiz.question))
    response = SubElement(presentation, "response_lid", ident="response1", rcardinality="Single")
    choices = SubElement(response, "render_choice")
    for name, option in zip(idents, quiz.options, strict=True):
        _material(SubElement(choices, "response_label", ident=name), _paragraph(option.text))

    processing = SubElement(item, "resprocessing")
    outcomes = SubElement(processing, "outcomes")
    SubElement(outcomes, "decvar", maxvalue="100", minvalue="0", varname="SCORE", vartype="Decimal")
    _condition(processing, None, feedback="general_fb")
    for chosen in idents:
        _condition(processing, chosen, feedback=f"{chosen}_fb")
    (right,) = (name for name, option in zip(idents, quiz.options, strict=True) if option.right)
    _condition(processing, right, score="100")

    _feedback(item, "general_fb", _where_to_read(question.goal))
    for name, option in zip(idents, quiz.options, strict=True):
        _feedback(item, f"{name}_fb", _paragraph(option.why))
    return item


def _ident(name: str) -> str:
    return "_".join(["vgglab", *re.findall(r"[\w-]+", name.lower())])


def _metadata(parent: Element, fields: dict[str, str]) -> None:
    metadata = SubElement(parent, "qtimetadata")
    for label, entry in fields.items():
        field = SubElement(metadata, "qtimetadatafield")
        SubElement(field, "fieldlabel").text = label
        SubElement(field, "fieldentry").text = entry


def _material(parent: Element, html: str) -> None:
    SubElement(SubElement(parent, "material"), "mattext", texttype="text/html").text = html


def _condition(
    processing: Element, ident: str | None, feedback: str | None = None, score: str | None = None
) -> None:
    """Say what follows from choosing `ident`, or from any choice."""
    condition = SubElement(processing, "respcondition", {"continue": "No" if score else "Yes"})
    variable = SubElement(condition, "conditionvar")
    if ident is None:
        SubElement(variable, "other")
    else:
        SubElement(variable, "varequal", respident="response1").text = ident
    if score is not None:
        SubElement(condition, "setvar", action="Set", varname="SCORE").text = score
    if feedback is not None:
        SubElement(condition, "displayfeedback", feedbacktype="Response", linkrefid=feedback)


def _feedback(item: Element, ident: str, html: str) -> None:
    feedback = SubElement(item, "itemfeedback", ident=ident)
    _material(SubElement(feedback, "flow_mat"), html)


def paper_sheet(questions: Sequence[Question], title: str) -> bytes:
    """Return questions as a page to print; nothing in it tells the right options from the others.

    Parameters
    ----------
    questions
        Of `vgglab.course.bank.question_bank`.
    title
        Of the sheet.
    """
    items = "".join(
        f"<li><p>{escape(question.quiz.question)}</p><ol type='a'>"
        + "".join(f"<li>{escape(option.text)}</li>" for option in question.quiz.options)
        + "</ol></li>"
        for question in questions
    )
    return _page(title, f"<p class='name'>Name</p><ol class='questions'>{items}</ol>")


def paper_key(questions: Sequence[Question], title: str) -> bytes:
    """Return the key to `paper_sheet` of the same questions: for teachers alone.

    It says which option is right, why, and what somebody believes who ticked another one.
    """
    beliefs = load_misconceptions()
    rows = []
    for number, question in enumerate(questions, start=1):
        for letter, option in zip(LETTERS, question.quiz.options, strict=False):
            belief = "right" if option.right else beliefs[option.misconception].belief
            cells = (f"{number} {letter}", option.text, belief, option.why)
            tag = "th" if option.right else "td"
            rows.append("".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells))
    head = "<tr><th>option<th>text<th>who ticks it believes<th>why</tr>"
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return _page(f"{title}: key", f"<table>{head}{body}</table>")


def _page(title: str, body: str) -> bytes:
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{escape(title)}"
        f"</title><meta name='viewport' content='width=device-width'><style>{_PAPER}</style></head>"
        f"<body><h1>{escape(title)}</h1>{body}</body></html>\n"
    ).encode()


_PAPER = """
body { font: 11pt/1.4 serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.3em; }
.name { border-bottom: 1px solid; padding-bottom: .2em; }
.questions > li { break-inside: avoid; margin-bottom: 1.2em; }
.questions p { margin: 0 0 .3em; }
table { border-collapse: collapse; font-size: .8em; }
th, td { text-align: left; vertical-align: top; padding: .2em .5em; border-top: 1px solid; }
@page { margin: 18mm; }
"""


def _heading(goal: Goal) -> str:
    return f"{goal.chapter} {goal.text}"


def _where_to_read(goal: Goal) -> str:
    (notebook,) = (name for name in CHAPTERS if name.startswith(goal.chapter))
    page = f"{HOMEPAGE}notebooks/{notebook}.html#{goal.section}"
    return f'<p>To read again: <a href="{escape(page)}">{escape(_heading(goal))}</a>.</p>'


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _xml(root: Element) -> bytes:
    indent(root)
    return bytes(tostring(root, "utf-8", xml_declaration=True)) + b"\n"
