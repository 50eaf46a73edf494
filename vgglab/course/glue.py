"""Numbers for the prose of a notebook."""

from typing import Any

from vgglab.arguments import needs

PREFIX = "application/papermill.record/"


def glue(name: str, value: Any) -> None:
    """Store `value` under `name` in the cell's output, for ``{glue:text}`` in the prose.

    The output is the one that ``myst_nb.glue`` makes, without the need to install Sphinx. Nothing
    is shown in the notebook itself.

    Parameters
    ----------
    name
        The name that the prose uses; unique on a page.
    value
        What to insert: its ``repr``, so that a format such as ``:.2f`` can be applied to a number.

    Raises
    ------
    TypeError
        If `name` is no string.
    ValueError
        If `name` is empty.
    """
    with needs("chapters"):
        from IPython.display import display

    if not isinstance(name, str):
        raise TypeError(f"name must be a string; got {name!r}")
    if not name:
        raise ValueError("name must not be empty")
    display(  # type: ignore[no-untyped-call]
        {f"{PREFIX}text/plain": repr(value)},
        raw=True,
        metadata={"scrapbook": {"name": name, "mime_prefix": PREFIX}},
    )
