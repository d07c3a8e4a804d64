"""Scores of somebody else's attack: joined with a result's memberships, and compared with the result's own scores."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np

from mia_seg.errors import MiaSegError
from mia_seg.evaluate import results
from mia_seg.evaluate.results import Result
from mia_seg.evaluate.scores import SceneScores, beside
from mia_seg.evaluate.submitted import GROUP, Submitted
from mia_seg.metrics import membership, paired
from mia_seg.query import answers
from mia_seg.query.answers import Answers

NAMED = 3  # scenes that a sentence names


@dataclass(frozen=True)
class Reference:
    """A result, its path, and the scores and memberships of its scenes."""

    path: Path
    result: Result
    known: SceneScores


def references(place: Path, defense: str = "none", seed: int | None = None) -> list[Reference]:
    """The result at `place`; or, if it is a folder, all results in it of the model behind `defense`.

    seed: of a folder, take the results of this seed; None: of all.

    Raises MiaSegError for results without scores, for a folder without results, and for results of several splits.
    """
    if not place.is_dir():
        return [_reference(place)]
    every = [(path, results.read(path)) for path in results.files(place)]
    kept = [(path, result) for path, result in every if seed in (None, result.seed)]
    found = [_scored(path, result) for path, result in kept if result.defense == defense]
    if every and not kept:
        seeds = sorted({result.seed for _, result in every})
        raise MiaSegError(f"{place} holds no result of seed {seed}. It holds those of {', '.join(map(str, seeds))}.")
    if not found:
        others = sorted({result.defense for _, result in kept})
        there = f"It holds those of {', '.join(others)}: choose one by --defense" if others else "It holds none at all"
        raise MiaSegError(f"{place} holds no result of the defense '{defense}'. {there}.")
    for other in found[1:]:
        _check_one_split(found[0], other)
    return found


def joined(mine: Submitted, reference: Reference) -> SceneScores:
    """The submitted scores in the order of the result's scenes, with the result's memberships.

    Groups are those of the table if it has any, else those of the result. The table's groups may be coarser than the
    result's, but not finer, which would make intervals too narrow. Raises MiaSegError for unknown scenes, missing
    scenes and finer groups.
    """
    ids = reference.known.ids
    _check_scenes(mine, reference)
    groups = _coarser(mine, reference) if mine.groups else reference.known.groups
    return SceneScores(ids, reference.known.members_N, groups, np.array([mine.scores[i] for i in ids]))


def measured(scores: SceneScores, against: Sequence[Reference], threshold: float | None = None) -> dict[str, Any]:
    """The metrics of the submitted scores, and their differences from each result's own scores, as JSON values.

    own: metrics of `metrics.membership.measure`: auc and tpr_at_fpr, and with a threshold the rates there too. against:
    for each result its auc and tpr_at_fpr, and under `above` the submitted scores' minus these
    (`metrics.paired.above`).
    """
    return {
        "scenes": len(scores.ids), "members": int(scores.members_N.sum()), "own": _own(scores, threshold),
        "against": [_compared(scores, one) for one in against],
    }  # fmt: skip


def hand_out(reference: Reference, store: Path, file: Path) -> Answers:
    """Write the answers that a result rests on into `file`, and return them. They say nothing of membership.

    file: an .npz with an array of each scene of the result, by its id: the posterior at the stride of the query,
    float16 [K, h, w]. Raises MiaSegError if the store holds no such answers.
    """
    digest = reference.result.digests.victim_answers
    folder = next(store.glob(f"answers/[!.]*-{digest}"), None)
    if folder is None:
        raise MiaSegError(
            f"The store {store} does not hold the answers {digest} of {reference.path}. Name the store of that run by "
            f"--store, or make the result there again."
        )
    found = answers.load(folder).take(sorted(reference.known.ids))
    with ZipFile(file, "w", ZIP_DEFLATED) as kept:  # np.savez takes names as arguments, and a scene has any name
        for scene, one in zip(found.ids, found, strict=True):
            with kept.open(f"{scene}.npy", "w") as entry:
                np.lib.format.write_array(entry, one.posterior_KHW.astype(np.float16))
    return found


def _compared(scores: SceneScores, reference: Reference) -> dict[str, Any]:
    """The metrics of a result's own scores on the same scenes and groups, and the differences."""
    result, theirs_N = reference.result, reference.known.scores_N
    facts = {name: getattr(result, name) for name in ("attack", "representation", "defense", "adaptive", "seed")}
    above = paired.above(scores.scores_N, theirs_N, scores.members_N, groups=scores.groups, seed=result.seed)
    ranked = membership.ranked(theirs_N, scores.members_N, groups=scores.groups)
    return {"result": str(reference.path), **facts, **ranked, "above": above}


def _own(scores: SceneScores, threshold: float | None) -> dict[str, Any]:
    if threshold is None:
        return membership.ranked(scores.scores_N, scores.members_N, groups=scores.groups)
    found = asdict(membership.measure(scores.scores_N, scores.members_N, threshold=threshold, groups=scores.groups))
    return {name: value for name, value in found.items() if name not in results.CURVES}


def _reference(path: Path) -> Reference:
    if not path.is_file():
        raise MiaSegError(f"{path} is no file. Name a result's .json, as 'mia-seg run' wrote it, or a folder of them.")
    if path.suffix != ".json":
        raise MiaSegError(f"{path} is no result. Name the result's .json, as 'mia-seg run' wrote it.")
    return _scored(path, results.read(path))


def _scored(path: Path, result: Result) -> Reference:
    if result.scores is None:
        raise MiaSegError(
            f"{path} has no file of scores beside it ({beside(path).name}), so the memberships of its scenes are not "
            f"known. Run the attack again, which writes this file."
        )
    if len(np.unique(result.scores.members_N)) < 2:
        kind = "members" if result.scores.members_N.all() else "non-members"
        raise MiaSegError(
            f"{beside(path)} holds {kind} alone, but metrics need both members and non-members. Run the attack again."
        )
    return Reference(path, result, result.scores)


def _check_one_split(first: Reference, other: Reference) -> None:
    sides = [dict(zip(one.known.ids, one.known.members_N.tolist(), strict=True)) for one in (first, other)]
    if sides[0] != sides[1]:
        raise MiaSegError(
            f"{first.path} and {other.path} differ in their scenes, or in which of these are members. Name one result "
            f"instead of the folder."
        )


def _check_scenes(mine: Submitted, reference: Reference) -> None:
    wanted = set(reference.known.ids)
    for scene, line in mine.lines.items():
        if scene not in wanted:
            raise MiaSegError(
                f"{mine.path}, line {line}: scene '{scene}' is none of the {len(wanted)} scenes of {reference.path}. "
                f"'mia-seg score --ids {reference.path}' lists them."
            )
    if lacking := [scene for scene in reference.known.ids if scene not in mine.lines]:
        raise MiaSegError(
            f"{mine.path} has no score of {len(lacking)} of the {len(wanted)} scenes of {reference.path}: "
            f"{_few(lacking)}. Score every scene."
        )


def _coarser(mine: Submitted, reference: Reference) -> list[str]:
    ids, first = reference.known.ids, dict[str, str]()
    for scene, group in zip(ids, reference.known.groups, strict=True):
        other = first.setdefault(group, scene)
        if mine.groups[other] != mine.groups[scene]:
            raise MiaSegError(
                f"{mine.path}, line {mine.lines[scene]}: scene '{scene}' is in another group than scene '{other}' of "
                f"line {mine.lines[other]}, but {reference.path} has both in one group. Leave the column '{GROUP}' "
                f"out, or join the groups."
            )
    return [mine.groups[scene] for scene in ids]


def _few(scenes: Sequence[str]) -> str:
    return ", ".join(f"'{scene}'" for scene in scenes[:NAMED]) + (", ..." if len(scenes) > NAMED else "")
