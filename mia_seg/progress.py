"""Progress: a bar on a terminal, a line now and then in a log; nothing until somebody asks for it."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mia_seg.texts import printable

T = TypeVar("T")
console = Console(stderr=True, highlight=False, emoji=False, quiet=True)
LOG_EVERY = 30.0


def show(shown: bool = True) -> None:
    """Whether progress is shown. Library code says nothing by itself; the command line turns this on."""
    console.quiet = not shown


def say(line: str) -> None:
    """One line, where progress is shown."""
    console.print(printable(line), markup=False, soft_wrap=True)


class Bar:
    """One line of progress; `note` says how it is going."""

    def __init__(self, title: str, total: int, done: int = 0) -> None:
        title = printable(title)
        self.title, self.total, self.done = title, total, done
        self._first, self._start, self._said = done, time.monotonic(), time.monotonic()
        # A name may look like markup, or like an emoji's.
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(24),
            MofNCompleteColumn(),
            TimeRemainingColumn(True),
        )
        self._bar = Progress(
            *columns, console=console, transient=True, disable=console.quiet or not console.is_terminal
        )
        self._task = self._bar.add_task(title, total=total, completed=done)

    def __enter__(self) -> "Bar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def step(self, note: str = "") -> None:
        """One unit done."""
        self.done += 1
        self._bar.update(self._task, advance=1, description=f"{self.title}  {note}" if note else self.title)
        if not console.is_terminal and time.monotonic() - self._said > LOG_EVERY:
            self._said = time.monotonic()
            left = (self._said - self._start) / (self.done - self._first) * (self.total - self.done)
            line = f"{self.title}  {self.done}/{self.total}  {note}  {left:.0f} s left"
            say(line)


def track(items: Iterable[T], title: str, total: int) -> Iterator[T]:
    """Yield `items` under a bar."""
    with Bar(title, total) as bar:
        for item in items:
            yield item
            bar.step()
