"""Gather README, the pages that it leads to and what these show, as the source of a site: `make docs`.

    python docs/site.py build/docs

Links stay relative, so that a page reads alike in the repository, on the site and offline.
"""

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FIRST = ROOT / "README.md"
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(?:#[^)\s]+)?\)")
# The order of the menu; what else is linked is found through pages.
MENU = {
    "Begin": ["README.md", "docs/first_audit.md", "docs/reading.md", "docs/threat_models.md"],
    "Audit": [
        "docs/doors.md",
        "docs/files.md",
        "docs/serve.md",
        "docs/gate.md",
        "docs/evidence.md",
        "docs/benchmark.md",
        "docs/models.md",
    ],
    "Experiments": [
        "docs/running.md",
        "docs/engines.md",
        "docs/training.md",
        "docs/objectives.md",
        "docs/protective.md",
        "docs/published.md",
        "docs/results.md",
        "docs/protective_results.md",
    ],
    "Inside": ["docs/method.md", "docs/decisions.md", "docs/stages.md", "CONTRIBUTING.md"],
}
CONFIG = """[project]
site_name = "mia-seg"
site_description = "Membership inference audits of semantic segmentation models"
docs_dir = "pages"
site_dir = "site"
use_directory_urls = false
nav = {nav}

[project.theme]
font = false
"""


def linked(page: Path) -> Iterator[Path]:
    """The files of the repository that a page links to or shows. Raises FileNotFoundError for one that is not there."""
    for target in LINK.findall(page.read_text("utf-8")):
        place = (page.parent / target).resolve()
        if not place.exists():
            raise FileNotFoundError(f"{page.relative_to(ROOT)} links to {target}, which does not exist")
        yield place


def gathered() -> list[Path]:
    """README and all that can be reached from it through pages in Markdown."""
    found, waiting = {FIRST}, [FIRST]
    while waiting:
        new = [place for place in linked(waiting.pop()) if place not in found and place.is_file()]
        found.update(new)
        waiting += [place for place in new if place.suffix == ".md"]
    return sorted(found)


def main(folder: Path) -> None:
    """Copy the pages to `folder`/pages and write the configuration beside them."""
    shutil.rmtree(folder, ignore_errors=True)
    for place in gathered():
        copy = folder / "pages" / place.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(place, copy)
    entries = (f"{{ {title} = {pages} }}" for title, pages in MENU.items())
    (folder / "zensical.toml").write_text(CONFIG.format(nav=f"[{', '.join(entries)}]"), "utf-8")
    print(f"{len(list(folder.rglob('*.*')))} files in {os.path.relpath(folder)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
