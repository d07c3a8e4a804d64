"""Measures an attack: joins its scores with the victim's memberships, and computes metrics, counts and utility."""

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
# The metrics that depend on a threshold, and not on the order of the scores alone.
AT_THRESHOLD = (
    "tpr", "tpr_low", "tpr_high", "fpr", "fpr_low", "fpr_high", "balanced_accuracy", "balanced_accuracy_low",
    "balanced_accuracy_high", "ppv",
)  # fmt: skip
LEVEL = 0.95  # the one-sided confidence of the bound on epsilon


@dataclass(frozen=True)
class Subject:
    """A model, victim or shadow, with the partition of its scenes into members, non-members and pool."""

    name: str
    recipe: AuditedRecipe
    seed: int
    parts: Partition

    def known(self) -> Membership:
        """The memberships of the scenes that the model was asked about, in their order."""
        return membership_of(self.parts)


def membership_of(parts: Partition) -> Membership:
    """The memberships and groups of `parts.audited`, in its order."""
    ids = parts.audited
    return Membership(np.isin(ids, parts.members), np.array([parts.group[i] for i in ids]))


@dataclass(frozen=True)
class Cell:
    """One cell in the grid of an audit: a defense and an attack on the model behind it."""

    defense: Selected[Defense]
    attack: Selected[Attack]
    adaptive: bool
    repeats: int = 1  # queries a scene; the attacker averages the answers

    def unaware(self, undefended: Selected[Defense]) -> "Cell":
        """The cell on which an attacker trains who does not know about the defense."""
        return replace(self, defense=undefended, repeats=1)


def tuned(method: Attack, attacker: Attacker) -> dict[str, Any]:
    """The settings that tuning changed: those of the fitted attacker that differ from the attack's."""
    asked = method.model_dump(mode="json")
    return {key: value for key, value in attacker.settings.model_dump(mode="json").items() if value != asked[key]}


def classes_of(victim: Answers, shadow: Answers, names: Sequence[str]) -> dict[str, list[str]]:
    """The names of the classes in the labels of both sides, of the victim's alone and of the shadow's alone."""
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
    """The metrics of an attack as JSON values: of images, and of groups and patches if there are any.

    scores: in the order of the scenes that the victim was asked about. The score of a group (a block, a drive) is the
    mean of its scenes' scores, and its threshold is that of images. Other keys: exposed members, the bound on epsilon,
    utility of both models, confidences, and the leak of each part of the scenes.
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
    """The metrics at a threshold, if each scene or group has its own [N]; {} if threshold_N is None."""
    if threshold_N is None:
        return {}
    found = asdict(membership.measure(scores_N - threshold_N, members_N, threshold=0.0, groups=groups, seed=seed))
    return {name: found[name] for name in AT_THRESHOLD}


def by_group(scores_N: np.ndarray, known: Membership) -> tuple[np.ndarray, np.ndarray]:
    """The mean score of each group [U], and whether the group is a member, bool [U]; groups are sorted by name.

    scores_N: finite, one a scene. No group has members and non-members, because splits draw whole groups.
    """
    _, first_U, group_N, count_U = np.unique(known.groups_N, return_index=True, return_inverse=True, return_counts=True)
    members_U = known.members_N[first_U]
    assert np.array_equal(members_U[group_N], known.members_N), "a group lies among members and non-members"
    return np.bincount(group_N, scores_N) / count_U, members_U


def _grouped(known: Membership) -> bool:
    """Whether any group has several scenes."""
    return len(np.unique(known.groups_N)) < len(known.groups_N)


def epsilon(scores_N: np.ndarray, victim: Subject, known: Membership) -> dict[str, Any]:
    """Lower bounds on epsilon (at delta = 0) and mu from scores of images, or the reason why the split allows none.

    All scenes are guessed, or all but one if their number is odd. The number is thus fixed before any score is seen.
    """
    rule = victim.recipe.split.rule
    if rule != "coin":
        return {"low": None, "reason": f"[split] rule '{rule}' tosses no fair coin for each scene; rule 'coin' does"}
    guesses = len(scores_N) // 2 * 2
    low, mu = (
        bound(scores_N, known.members_N, guesses=guesses, randomised=True, level=LEVEL, seed=victim.seed)
        for bound in (auditing.epsilon_one_run, auditing.mu_one_run)
    )
    return {"low": low, "mu": mu, "delta": 0.0, "guesses": guesses, "level": LEVEL, "design": "one run, fair coins"}


def many_shadows(scores: Scores, victim: Subject, victim_answers: Answers) -> dict[str, Any]:
    """Further metrics of an attack that uses a fleet of shadows, as JSON values.

    by_shadows: its metrics with some of the shadows. trained: the number of these shadows; compared: the number that
    each scene is compared with. image_loss: the metrics of the image-loss attack on the same answers. above_loss: the
    attack's AUC and TPRs minus those of the image loss.
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
    """Histograms of the largest posterior of each cell, in 20 equal bins of [0, 1] (thesis figure 7.7).

    members_N: bool, one a scene. Every stored cell counts, labelled or not; 1 falls into the last bin. Scenes are read
    one at a time.
    """
    counts = np.zeros((2, BINS), np.int64)
    for answer, member in zip(answers, members_N, strict=True):
        # A posterior that was stored as float16 may be a little above 1.
        largest = np.clip(answer.posterior_KHW.max(0), 0, 1)
        counts[int(member)] += np.histogram(largest, BINS, (0, 1))[0]
    return {"members": counts[1].tolist(), "nonmembers": counts[0].tolist()}


def _exposed(scores_N: np.ndarray, victim: Subject, known: Membership) -> dict[str, Any] | None:
    """The members whose scores stand out from those of the victim's own non-members, the most exposed first.

    None if any group has several scenes. Scenes that look alike then stand out together, and the share of false
    discoveries is not controlled.
    """
    if _grouped(known):
        return None
    members = np.array(victim.parts.audited)[known.members_N].tolist()
    found = auditing.exposed(scores_N[known.members_N], scores_N[~known.members_N], fdr=FALSE_DISCOVERIES).found
    return {"fdr": FALSE_DISCOVERIES, "tested": len(members), "scenes": [members[place] for place in found]}


def _where(scores: Scores, victim: Subject, known: Membership) -> list[dict[str, Any]]:
    """The leak of each part of the scenes alone; empty for attacks without scores of parts."""
    classes = victim.recipe.dataset().classes()
    return [
        {"cut": cut, "part": classes[part] if isinstance(part, int) else part} | _part(scores_N, known)
        for (cut, part), scores_N in scores.parts.items()
    ]


def _part(scores_N: np.ndarray, known: Membership) -> dict[str, float | int | None]:
    """The AUC with its interval over the scenes that have the part (score not NaN), and their numbers on each side.

    auc, low and high are None if a side has fewer than two groups with the part: no interval can be made of them.
    """
    has_N = ~np.isnan(scores_N)
    members_N, groups_N = known.members_N[has_N], known.groups_N[has_N]
    counts = {"members": int(members_N.sum()), "nonmembers": int((~members_N).sum())}
    if min(len(np.unique(groups_N[side])) for side in (members_N, ~members_N)) < 2:
        return {"auc": None, "low": None, "high": None, **counts}
    found = membership.ranked(scores_N[has_N], members_N, groups=groups_N)
    return {"auc": found["auc"], "low": found["auc_low"], "high": found["auc_high"], **counts}


def canaries(scores_N: np.ndarray, of: Subject, kind: str) -> dict[str, Any]:
    """The leak of the canaries alone: AUC with its interval, epsilon, counts. of: the victim with only the canaries."""
    known = of.known()
    return {"kind": kind, "epsilon": epsilon(scores_N, of, known)} | _part(scores_N, known)


def _utility(answers: Answers, known: Membership) -> dict[str, dict[str, float]] | None:
    """The utility on members and on non-members, with intervals; None if no scene has labels."""
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
    """The defended model's mIoU minus the undefended model's on the same scenes, for members and for non-members."""
    found = {}
    for side, rows in (("members", known.members_N), ("nonmembers", ~known.members_N)):
        mine, before = (answers.statistics.confusion_NKK[rows] for answers in (defended, undefended))
        value, low, high = utility_above(mine, before, known.groups_N[rows].tolist(), seed=seed)["miou"]
        found[side] = {"value": value, "low": low, "high": high}
    return found


def scores_of(scores: Scores, victim: Subject) -> SceneScores:
    """The scores of all scenes that the victim was asked about, with their memberships and groups."""
    known = victim.known()
    return SceneScores(victim.parts.audited, known.members_N, known.groups_N.tolist(), scores.image_N)


def data_name(settings: AuditedRecipe) -> str:
    """The name of the data set in reports: 'labelmefacade', 'camvid', 'streets (night)'."""
    name = str(settings.data.get("path", settings.data["name"]))
    return f"{name} ({settings.data['style']})" if "style" in settings.data else name
