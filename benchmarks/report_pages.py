"""Seconds to draw the page of each audit in reports/, compared with reading its results; and the page's size.

    python benchmarks/report_pages.py [--rounds 5]

No page can be drawn without reading its results. Both take turns; medians of the rounds.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

from mia_seg import report
from mia_seg.evaluate import results

REPORTS = Path(__file__).parents[1] / "reports"


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--rounds", type=int, default=5)
    rounds = told.parse_args().rounds
    print(f"{'audit':<44}{'results':>8}{'read, s':>9}{'draw, s':>9}{'draw/read':>10}{'kB':>7}")
    for folder in sorted({path.parent for path in results.files(REPORTS)}):
        measure(folder, rounds)


def measure(folder: Path, rounds: int) -> None:
    found = results.read_all(folder)
    with tempfile.TemporaryDirectory() as place:
        pairs = [(timed(lambda: results.read_all(folder)), timed(lambda: draw(place, found))) for _ in range(rounds)]
        size = draw(place, found)[0].stat().st_size
    read, drawn = (median(several) for several in zip(*pairs, strict=True))
    name = folder.relative_to(REPORTS).as_posix()
    print(f"{name:<44}{len(found):>8}{read:>9.2f}{drawn:>9.2f}{drawn / read:>10.1f}{size / 1000:>7.0f}")


def draw(place: str, found: list[results.Result]) -> list[Path]:
    return report.write(Path(place), found, forms=["html"])


def timed(what: Callable[[], object]) -> float:
    begun = perf_counter()
    what()
    return perf_counter() - begun


if __name__ == "__main__":
    main()
