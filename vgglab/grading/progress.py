"""How far long work is, and how long it will take: a line that a terminal keeps up to date."""

import time
from collections.abc import Callable
from threading import Lock
from typing import IO

_CLEAR = "\r\033[K"


class Progress:
    """Says how many of how many are done, what is done now, and about how long it takes.

    Parameters
    ----------
    total
        How many there are.
    stream
        Where to say it. A terminal has one line that changes; a file gets plain lines, with
        `every` seconds between them.
    clock
        Returns seconds.
    every
        Seconds between plain lines.
    """

    def __init__(
        self,
        total: int,
        stream: IO[str],
        *,
        clock: Callable[[], float] = time.monotonic,
        every: float = 10,
    ) -> None:
        self.total, self.stream, self.clock, self.every = total, stream, clock, every
        self.finished = self.worked = 0
        self.began = self.said = clock()
        self._lock = Lock()

    def now(self, name: str) -> None:
        """Say what is begun now; any thread may."""
        with self._lock:
            line = f"{self.finished} of {self.total} done{self._left()}; now {name}"
            if self.stream.isatty():
                self.stream.write(_CLEAR + line[:100])
            elif self.clock() - self.said >= self.every:
                self.said = self.clock()
                self.stream.write(line + "\n")
            self.stream.flush()

    def done(self, say: Callable[[], object], *, free: bool = False) -> None:
        """Count one as done, and call what says so in lines of its own.

        Parameters
        ----------
        say
            Called while the terminal's line is out of the way.
        free
            Whether it took no time, such as a result that was kept.
        """
        with self._lock:
            self.finished += 1
            self.worked += not free
            if self.stream.isatty():
                self.stream.write(_CLEAR)
                self.stream.flush()
            say()

    def _left(self) -> str:
        if not self.worked:
            return ""
        each = (self.clock() - self.began) / self.worked
        return f", about {_words(each * (self.total - self.finished))} left"


def _words(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
