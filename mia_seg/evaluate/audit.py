"""Measure an attack: join the victim's membership to its scores; metrics with intervals, counts, utility."""

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import Any, Literal

import numpy as np

from mia_seg.attacks import Attack, Attacker, Membership, Scores
from mia_seg.defenses import Defense
from mia_seg.evaluate.scores import SceneScores
from mia_seg.metrics import auditing, membership, paired
from mia_seg.metrics.segmentation import utility, utility_above, utility_interval
from mia_seg.plugins import Selected
from mia_seg.query.answers import Answers
from mia_seg.recipes import AuditedRecipe
from mia_seg.recipes.splits import Partition

BINS = 20
FALSE_DISCOVERIES = 0.1
# What hangs on a threshold, and not on the order of scores alone.
AT_THRESHOLD = (
    "tpr", "tpr_low", "tpr_high", "fpr", "fpr_low", "fpr_high", "balanced_accuracy", "balanced_accuracy_low",
    "balanced_accuracy_high", "ppv",
)  # fmt: skip
LEVEL = 0.95  # of confidence, one-sided, in the bound on epsilon


@dataclass(frozen=True)
class Subject:
    """A model, victim or shadow, with the scenes that it did or did not train on."""

    name: str
    recipe: AuditedRecipe
    seed: int
    parts: Partition

    def known(self) -> Membership:
        """The membership of the scenes that the model was asked about, in their order."""
        return membership_of(self.parts)


def membership_of(parts: Partition) -> Membership:
    """The membership and groups of `parts.audited`, in its order."""
    ids = parts.audited
    return Membership(np.isin(ids, parts.members), np.array([parts.group[i] for i in ids]))


@dataclass(frozen=True)
class Cell:
    """One cell of the grid of an audit: a defense and an attack on it."""

    defense: Selected[Defense]
    attack: Selected[Attack]
    adaptive: bool
    repeats: int = 1  # how often each scene is asked about; the attacker averages the answers

    def unaware(self, undefended: Selected[Defense]) -> "Cell":
        """The cell for which an attacker trains who does not know of the defense."""
        return replace(self, defense=undefended, repeats=1)


def tuned(method: Attack, attacker: Attacker) -> dict[str, Any]:
    """Settings of the fitted attacker that differ from those asked for: the tuned ones."""
    asked = method.model_dump(mode="json")
    return {key: value for key, value in attacker.settings.model_dump(mode="json").items() if value != asked[key]}


def classes_of(victim: Answers, shadow: Answers, names: Sequence[str]) -> dict[str, list[str]]:
    """Which classes occur in the labels of both sides, of the victim's alone and of the shadow's alone."""
    sides = victim.occurring(), shadow.occurring()
    found = {"both": sides[0] & sides[1], "victim": sides[0] - sides[1], "shadow": sides[1] - sides[0]}
    return {side: [names[k] for k in sorted(classes)] for side, classes in found.items()}


def versions() -> dict[str, str]:
    """The versions of mia-seg and the libraries that computed a result."""
    return {
        "mia-seg": version("mia-seg"), "python": platform.python_version(),
        "torch": version("torch"), "timm": version("timm"),
    }  # fmt: skip


def measured(
    scores: Scores,
    attacker: Attacker,
    victim: Subject,
    *,
    shadow: Subject,
    victim_answers: Answers,
    shadow_answers: Answers,
) -> dict[str, Any]:
    """Metrics of the scores by image and, if there are any, by group and by patch.

    Scores are in the order of the scenes that the victim was asked about. A group of several scenes (a block, a drive)
    has their mean score and is judged at the threshold for images.
    """
    known, threshold = victim.known(), attacker.thresholds.image
    measure, own_N = membership.measure, scores.threshold_N
    image = measure(scores.image_N, known.members_N, threshold=threshold, groups=known.groups_N, seed=victim.seed)
    levels = {
        "image": asdict(image) | at_own(scores.image_N, known.members_N, own_N, groups=known.groups_N, seed=victim.seed)
    }
    if _grouped(known):
        scores_U, members_U = by_group(scores.image_N, known)
        group, own_U = measure(scores_U, members_U, threshold=threshold, seed=victim.seed), None
        if own_N is not None:
            own_U, _ = by_group(own_N, known)
        levels["group"] = asdict(group) | at_own(scores_U, members_U, own_U, groups=None, seed=victim.seed)
    if scores.patch_NP is not None and attacker.thresholds.patch is not None:
        repeat = scores.patch_NP.shape[1]
        groups, members = known.groups_N.repeat(repeat), known.members_N.repeat(repeat)
        patch = measure(
            scores.patch_NP.ravel(), members, threshold=attacker.thresholds.patch, groups=groups, seed=victim.seed
        )
        levels["patch"] = asdict(patch)
    return {
        "levels": levels, "exposed": _exposed(scores.image_N, victim, known),
        "epsilon": epsilon(scores.image_N, victim, known),
        "utility": _utility(victim_answers, known), "shadow_utility": _utility(shadow_answers, shadow.known()),
        "confidence": confidence(victim_answers, known.members_N), "where": _where(scores, victim, known),
    }  # fmt: skip


def at_own(
    scores_N: np.ndarray, members_N: np.ndarray, threshold_N: np.ndarray | None, *, groups: np.ndarray | None, seed: int
) -> dict[str, Any]:
    """Metrics that depend on the threshold, if each scene has its own; {} if all share one."""
    if threshold_N is None:
        return {}
    found = asdict(membership.measure(scores_N - threshold_N, members_N, threshold=0.0, groups=groups, seed=seed))
    return {name: found[name] for name in AT_THRESHOLD}


def by_group(scores_N: np.ndarray, known: Membership) -> tuple[np.ndarray, np.ndarray]:
    """The mean score of each group [U], the groups sorted by name, and whether it is a member [U].

    scores_N: finite, one a scene. No group lies on both sides: splits draw groups whole.
    """
    _, first_U, group_N, count_U = np.unique(known.groups_N, return_index=True, return_inverse=True, return_counts=True)
    members_U = known.members_N[first_U]
    assert np.array_equal(members_U[group_N], known.members_N), "a group lies among members and non-members"
    return np.bincount(group_N, scores_N) / count_U, members_U


def _grouped(known: Membership) -> bool:
    """Whether several scenes are one group anywhere."""
    return len(np.unique(known.groups_N)) < len(known.groups_N)


def epsilon(scores_N: np.ndarray, victim: Subject, known: Membership) -> dict[str, Any]:
    """Lower bounds on epsilon (delta = 0) and mu from image scores, or the reason why this split allows none.

    There are as many guesses as scenes, rounded down to an even number: fixed before any score is seen.
    """
    rule = victim.recipe.split.rule
    if rule != "coin":
        return {"low": None, "reason": f"[split] rule '{rule}' is no fair coin for each scene, as rule 'coin' is"}
    guesses = len(scores_N) // 2 * 2
    low, mu = (
        bound(scores_N, known.members_N, guesses=guesses, randomised=True, level=LEVEL, seed=victim.seed)
        for bound in (auditing.epsilon_one_run, auditing.mu_one_run)
    )
    return {"low": low, "mu": mu, "delta": 0.0, "guesses": guesses, "level": LEVEL, "design": "one run, fair coins"}


def many_shadows(scores: Scores, victim: Subject, victim_answers: Answers) -> dict[str, Any]:
    """For an attack on a fleet: what it achieves by the number of shadows, and how far it is above the image loss.

    The image loss is that of the same answers. trained: the number of shadows trained; compared: the number that a
    scene is compared with.
    """
    known, loss_N = victim.known(), -victim_answers.statistics.mean_loss()
    members_N, groups_N = known.members_N, known.groups_N
    return {
        "by_shadows": [
            {"trained": size.trained, "compared": size.compared}
            | membership.ranked(size.image_N, members_N, groups=groups_N)
            for size in scores.by_shadows
        ],
        "image_loss": membership.ranked(loss_N, members_N, groups=groups_N),
        "above_loss": paired.above(scores.image_N, loss_N, members_N, groups=groups_N, seed=victim.seed),
    }


def confidence(answers: Answers, members_N: np.ndarray) -> dict[str, list[int]]:
    """How many cells have their largest posterior in each of 20 equal bins of [0, 1] (thesis figure 7.7).

    members_N: bool, one a scene. Counts every stored cell, labelled or not; 1 falls into the last bin. Reads scene
    after scene.
    """
    counts = np.zeros((2, BINS), np.int64)
    for answer, member in zip(answers, members_N, strict=True):
        # Stored as float16, a posterior may come back a little above 1.
        largest = np.clip(answer.posterior_KHW.max(0), 0, 1)
        counts[int(member)] += np.histogram(largest, BINS, (0, 1))[0]
    return {"members": counts[1].tolist(), "nonmembers": counts[0].tolist()}


def _exposed(scores_N: np.ndarray, victim: Subject, known: Membership) -> dict[str, Any] | None:
    """The members that stand out from the victim's own non-members, the most exposed first.

    None where several scenes are one group: scenes that look alike stand out together, and nothing is controlled.
    """
    if _grouped(known):
        return None
    members = np.array(victim.parts.audited)[known.members_N].tolist()
    found = auditing.exposed(scores_N[known.members_N], scores_N[~known.members_N], fdr=FALSE_DISCOVERIES).found
    return {"fdr": FALSE_DISCOVERIES, "tested": len(members), "scenes": [members[place] for place in found]}


def _where(scores: Scores, victim: Subject, known: Membership) -> list[dict[str, Any]]:
    """The leak of each part of the scenes alone; empty for attacks that do not look at parts."""
    classes = victim.recipe.dataset().classes()
    return [
        {"cut": cut, "part": classes[part] if isinstance(part, int) else part} | _part(scores_N, known)
        for (cut, part), scores_N in scores.parts.items()
    ]


def _part(scores_N: np.ndarray, known: Membership) -> dict[str, float | int | None]:
    """AUC and interval over the scenes that have the part (not NaN), and how many these are on either side.

    None where a side has fewer than two groups with it: no interval can be told from them.
    """
    has_N = ~np.isnan(scores_N)
    members_N, groups_N = known.members_N[has_N], known.groups_N[has_N]
    counts = {"members": int(members_N.sum()), "nonmembers": int((~members_N).sum())}
    if min(len(np.unique(groups_N[side])) for side in (members_N, ~members_N)) < 2:
        return {"auc": None, "low": None, "high": None, **counts}
    found = membership.ranked(scores_N[has_N], members_N, groups=groups_N)
    return {"auc": found["auc"], "low": found["auc_low"], "high": found["auc_high"], **counts}


def canaries(scores_N: np.ndarray, of: Subject, kind: str) -> dict[str, Any]:
    """The leak of the canaries alone: AUC with its interval, epsilon, counts. of: the victim with only these scenes."""
    known = of.known()
    return {"kind": kind, "epsilon": epsilon(scores_N, of, known)} | _part(scores_N, known)


def _utility(answers: Answers, known: Membership) -> dict[str, dict[str, float]] | None:
    """None where no scene has labels."""
    if not answers.statistics.pixels_NK.any():
        return None
    sides: dict[Literal["members", "nonmembers"], np.ndarray] = {
        "members": known.members_N,
        "nonmembers": ~known.members_N,
    }
    return {
        name: _with_interval(answers.statistics.confusion_NKK[rows], known.groups_N[rows])
        for name, rows in sides.items()
    }


def _with_interval(confusion_NKK: np.ndarray, groups_N: np.ndarray) -> dict[str, float]:
    values = utility(confusion_NKK.sum(0))
    bounds = utility_interval(confusion_NKK, groups_N.tolist())
    ends = {f"{name}_{end}": bounds[name][i] for name in values for i, end in enumerate(("low", "high"))}
    return values | ends


def utility_change(
    defended: Answers, undefended: Answers, known: Membership, *, seed: int
) -> dict[str, dict[str, float]]:
    """The change of mIoU by a defense, for members and non-members, on the same scenes."""
    found = {}
    for side, rows in (("members", known.members_N), ("nonmembers", ~known.members_N)):
        mine, before = (answers.statistics.confusion_NKK[rows] for answers in (defended, undefended))
        value, low, high = utility_above(mine, before, known.groups_N[rows].tolist(), seed=seed)["miou"]
        found[side] = {"value": value, "low": low, "high": high}
    return found


def scores_of(scores: Scores, victim: Subject) -> SceneScores:
    """The score of every scene that the victim was asked about."""
    known = victim.known()
    return SceneScores(victim.parts.audited, known.members_N, known.groups_N.tolist(), scores.image_N)


def data_name(settings: AuditedRecipe) -> str:
    """The name of the data set as a reader knows it: 'labelmefacade', 'camvid', 'streets (night)'."""
    name = str(settings.data.get("path", settings.data["name"]))
    return f"{name} ({settings.data['style']})" if "style" in settings.data else name
