"""What prints as a title, sentences and tables: in a terminal, and in a notebook."""

import re
from abc import ABC, abstractmethod
from html import escape
from typing import NamedTuple

MIB = 2**20


class Remark(NamedTuple):
    """A sentence about a row of a table, with a line of code."""

    about: str
    text: str
    code: str


class Report(ABC):
    """The layout of all reports; a subclass says what is in it."""

    @abstractmethod
    def _title(self) -> str: ...

    def _answer(self) -> list[str]:
        """Return the sentences that come before the tables."""
        return []

    @abstractmethod
    def _tables(self, tablefmt: str) -> list[str]:
        """Return the tables in one of tabulate's formats."""

    def _remarks(self) -> list[Remark]:
        """Return what is said of rows of the last table."""
        return []

    @abstractmethod
    def _sentences(self) -> list[str]:
        """Return the sentences at the end."""

    def __str__(self) -> str:
        remarks = [f"{about}: {text}\n    {code}" for about, text, code in self._remarks()]
        paragraphs = (self._answer(), remarks, self._sentences())
        answer, notes, end = ("\n".join(lines) for lines in paragraphs)
        return "\n\n".join(
            filter(None, [self._title(), answer, *self._tables("simple"), notes, end])
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        title = escape(self._title())
        answer, end = (
            "".join(f"<p>{_inline(sentence)}</p>" for sentence in sentences)
            for sentences in (self._answer(), self._sentences())
        )
        region = f'<div class="vgglab-scroll" role="region" aria-label="{title}" tabindex="0">'
        tables = "".join(f"{region}{table}</div>" for table in self._tables("html"))
        remarks = "".join(
            f"<dt>{escape(about)}</dt><dd>{_inline(text)}<br><code>{escape(code)}</code></dd>"
            for about, text, code in self._remarks()
        )
        remarks = remarks and f"<dl>{remarks}</dl>"
        return (
            f'<div class="vgglab-table"><p><strong>{title}</strong></p>'
            f"{answer}{tables}{remarks}{end}</div>"
        )


def _inline(text: str) -> str:
    """Return a sentence as HTML, with what stands between backticks as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def count(number: int | None) -> str:
    """Return a number with separators; a dash for none."""
    return "-" if number is None else f"{number:,}"


def mebibytes(number: int | None) -> str:
    """Return bytes in MiB (2**20 bytes), to two decimals; a dash for none."""
    return "-" if number is None else f"{number / MIB:.2f}"
