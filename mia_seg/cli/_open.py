"""`mia-seg open`: the newest page, in a browser where there is one."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from mia_seg.cli import _screen as screen
from mia_seg.cli._complete import VICTIMS
from mia_seg.cli._options import REPORTS, Reports
from mia_seg.errors import MiaSegError
from mia_seg.texts import printable

PAGE = "index.html"
FOLDERS = REPORTS, Path("demo_report")  # where pages lie unless --reports says otherwise


def open_(
    victim: Annotated[
        str | None, typer.Argument(help="Victim whose page to open. Default: any.", autocompletion=VICTIMS)
    ] = None,
    reports: Reports = REPORTS,
) -> None:
    """Open the newest page of the report in a browser, or print its path if there is none."""
    page = _newest(reports, victim)
    if not _shown(page):
        screen.out().print(printable(str(page)), markup=False)


def _newest(reports: Path, victim: str | None) -> Path:
    """The page below a folder that was written last; of a victim its own, or else one beside its results."""
    places = FOLDERS if reports == REPORTS else (reports,)
    pages = [page for place in places for page in place.rglob(PAGE)]
    own = [page for page in pages if victim in (None, page.parent.name)]
    if found := own or [page for page in pages if (page.parent / str(victim)).is_dir()]:
        return max(found, key=lambda page: page.stat().st_mtime)
    of = f" of victim '{victim}'" if victim else ""
    raise MiaSegError(f"There is no page{of} below {reports}. Run 'mia-seg report', or name its folder with --reports.")


def _shown(page: Path) -> bool:
    """Whether a browser took it; one in the terminal itself would take that over."""
    import webbrowser

    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    return webbrowser.open(page.resolve().as_uri())
