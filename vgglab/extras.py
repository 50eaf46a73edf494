"""Packages that only a part of vgglab needs: the extras of pyproject.toml."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Import what an extra brings; say how to install it if it is not there.

    Raises
    ------
    ImportError
        In place of a ModuleNotFoundError.

    Examples
    --------
    >>> with needs("train"):
    ...     from tqdm import tqdm
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise ImportError(
            f'the package {package} is not installed: pip install "vgglab[{extra}]"', name=package
        ) from error
