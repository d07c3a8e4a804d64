"""Finding results by paths of files and folders."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from mia_seg.errors import MiaSegError
from mia_seg.evaluate import results
from mia_seg.evaluate.results import Result
from mia_seg.progress import track

CONTROL = "labels"  # the representation of an attacker who never sees the model
SAME = ("victim", "shadow", "defense", "attack", "representation", "adaptive", "repeats", "seed")


def gathered(places: Sequence[Path]) -> list[Result]:
    """Every result in files and below folders, each file once.

    Raises MiaSegError for a place without results, for a file that is no result or of a newer schema, and for two files
    that measure the same.
    """
    paths = {path.resolve(): path for place in places for path in _files(place)}
    found: dict[tuple[object, ...], tuple[Path, Result]] = {}
    for path in track(paths.values(), "reading results", len(paths)):
        result = results.read(path)
        first, _ = found.setdefault(identity(result), (path, result))
        if first != path:
            raise MiaSegError(
                f"{first} and {path} both measure {called(result)} on {result.victim}, defense {result.defense}, seed "
                f"{result.seed}. Name the folder of one audit alone."
            )
    return [result for _, result in found.values()]


def identity(result: Result) -> tuple[object, ...]:
    """The key that identifies a result within an audit."""
    return tuple(getattr(result, name) for name in SAME)


def called(result: Result) -> str:
    """An attack as the command line takes it: 'patch_resnet50:loss'."""
    return f"{result.attack}:{result.representation}" if result.representation else result.attack


def seeing(found: Iterable[Result]) -> list[Result]:
    """The results of attackers who see the model."""
    return [result for result in found if result.representation != CONTROL]


def victims_of(found: Sequence[Result], asked: Sequence[str]) -> list[str]:
    """The victims asked for, or the only one. Raises MiaSegError if there are several and none is named."""
    there = sorted({result.victim for result in found})
    if asked or len(there) == 1:
        return list(dict.fromkeys(asked)) or there
    raise MiaSegError(f"There are results of {len(there)} victims: {', '.join(there)}. Say which with --victim NAME.")


def _files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    if not place.exists():
        raise MiaSegError(f"{place} does not exist. Name a result's file or a folder of results.")
    if not (found := results.files(place)):
        raise MiaSegError(
            f"{place} holds no results. Run 'mia-seg audit' or 'mia-seg run' first, or name their folder."
        )
    return found
