"""A page as PDF, printed without a window by an installed Chromium or Chrome."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from mia_seg.errors import MiaSegError
from mia_seg.store import replace, writing

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
SECONDS = 120


def browser() -> str:
    """The path of the browser that prints. Raises MiaSegError if none is installed."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        raise MiaSegError(
            f"A PDF is printed by Chromium, and PATH has none of {', '.join(BROWSERS)}. Install one, or open the page "
            f"(--format html) and print it."
        )
    return found


def printed(page: Path) -> Path:
    """Print a page to a PDF beside it; the PDF's path. Raises MiaSegError if the browser fails."""
    program, made = browser(), page.with_suffix(".pdf")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / made.name
        options = ["--headless", "--disable-gpu", "--no-pdf-header-footer", f"--user-data-dir={folder}/profile"]
        options += ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []  # refuses root otherwise
        _run([program, *options, f"--print-to-pdf={target}", page.absolute().as_uri()], page)
        if not target.is_file():
            raise MiaSegError(f"{program} printed no PDF of {page}. Open the page and print it.")
        with writing(made):
            replace(made, target.read_bytes())
    return made


def is_newer(page: Path) -> bool:
    """Whether the PDF of a page was printed after the page was drawn."""
    made = page.with_suffix(".pdf")
    return made.is_file() and made.stat().st_mtime_ns >= page.stat().st_mtime_ns


def _run(command: list[str], page: Path) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        raise MiaSegError(
            f"{command[0]} did not print {page} ({type(error).__name__}). Open the page and print it."
        ) from None
