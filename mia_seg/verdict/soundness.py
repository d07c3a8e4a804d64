"""Conditions for believing an audit's numbers. Each rule returns a sentence if it is broken, else ''."""

from collections.abc import Callable, Sequence

from mia_seg.evaluate.results import SHARED, Result, material
from mia_seg.evaluate.schema import Blind, Untested
from mia_seg.verdict.found import seeing

UNDEFENDED = "none"
MANY = 0.01  # of a side

Found = Sequence[Result]


def unreadable(found: Found) -> str:
    """Why a victim's numbers do not measure a leak, whatever they are; '' if they do."""
    return next(filter(None, (rule(found) for rule in (_two_models, _uncontrolled, _confounded))), "")


def unproven(found: Found) -> str:
    """Why low numbers under one defense do not allow a pass; '' if they do."""
    rules: tuple[Callable[[Found], str], ...] = (_unaware, _left_out, _near_twins)
    return next(filter(None, (rule(found) for rule in rules)), "")


def _two_models(found: Found) -> str:
    for seed, runs in _by_seed(found).items():
        digests = sorted({run.digests.victim for run in runs})
        if len(digests) > 1:
            return (
                f"results of {len(digests)} models have this name and seed {seed}: {', '.join(digests)}. Delete those "
                f"of the older model, or name the folder of one"
            )
    return ""


def _uncontrolled(found: Found) -> str:
    for seed, runs in _by_seed(found).items():
        if not any(run.controls for run in runs):
            return (
                f"the results of seed {seed} are from before an attacker was tested who never sees the model. Delete "
                f"them and run the same command again; models are reused"
            )
        reasons = [run.controls.blind for run in runs if run.controls]
        if untested := next((why.untested for why in reasons if isinstance(why, Untested)), ""):
            return (
                f"whether the split gives members away without the model could not be tested at seed {seed} "
                f"({untested}). Audit more groups of scenes"
            )
    return ""


def _confounded(found: Found) -> str:
    controls = {run.seed: run.controls.blind for run in found if run.controls}
    blind = [one for one in controls.values() if isinstance(one, Blind)]
    worst = max((b.auc for b in blind if b.confounded and b.p <= SHARED / len(blind)), default=None)
    seen = material(all(run.utility for run in found))
    return "" if worst is None else (
        f"the split is confounded: an attacker who never sees the model reaches AUC {worst:.3f} by {seen} alone. "
        f"Draw members and non-members from the same scenes at random"
    )  # fmt: skip


def _unaware(found: Found) -> str:
    seen = seeing(found)
    if any(run.adaptive or run.defense == UNDEFENDED for run in seen):
        return ""
    return "no attacker was tried who knows of the defense. Run 'mia-seg run', which tries both kinds"


def _left_out(found: Found) -> str:
    for run in found:
        level, out = run.levels["image"], run.left_out
        if (
            out is not None
            and max(_share(out.members, level.n_members), _share(out.nonmembers, level.n_nonmembers)) > MANY
        ):
            return (
                f"{len(out.members)} members and {len(out.nonmembers)} non-members have no labelled pixel and were "
                f"left out. Label them, or take them out of the split"
            )
    return ""


def _near_twins(found: Found) -> str:
    for seed, runs in _by_seed(found).items():
        if not any(run.sought_twins for run in runs):
            return (
                f"the results of seed {seed} are from before it was tested whether members look nearly like "
                f"non-members. Delete them and run the same command again; models are reused"
            )
    twins = next((run.near_twins for run in found if run.near_twins), None)
    if twins is None or twins.members <= MANY * twins.of:
        return ""
    return (
        f"{twins.members} of {twins.of} members look nearly like a non-member, so that AUC shows less than what leaks. "
        f"Remove one of each pair"
    )


def _share(lost: Sequence[str], scored: int) -> float:
    return len(lost) / (len(lost) + scored)


def _by_seed(found: Found) -> dict[int, list[Result]]:
    runs: dict[int, list[Result]] = {}
    for run in found:
        runs.setdefault(run.seed, []).append(run)
    return runs
