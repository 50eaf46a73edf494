"""What prints as a title, tables and sentences: in a terminal, and in a notebook."""

from abc import ABC, abstractmethod
from html import escape


class Report(ABC):
    """The layout of all reports; a subclass says what is in it."""

    @abstractmethod
    def _title(self) -> str: ...

    @abstractmethod
    def _tables(self, tablefmt: str) -> list[str]:
        """Return the tables in one of tabulate's formats."""

    @abstractmethod
    def _sentences(self) -> list[str]: ...

    def __str__(self) -> str:
        sentences = "\n".join(self._sentences())
        return "\n\n".join(filter(None, [self._title(), *self._tables("simple"), sentences]))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        title = escape(self._title())
        region = f'<div class="vgglab-scroll" role="region" aria-label="{title}" tabindex="0">'
        tables = "".join(f"{region}{table}</div>" for table in self._tables("html"))
        sentences = "".join(f"<p>{escape(sentence)}</p>" for sentence in self._sentences())
        return f'<div class="vgglab-table"><p><strong>{title}</strong></p>{tables}{sentences}</div>'
