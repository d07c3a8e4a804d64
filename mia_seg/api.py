"""The Python interface: an audit as an object. `import mia_seg as mia; mia.audit(victim=..., shadow=...).table()`."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mia_seg.errors import MiaSegError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from mia_seg.brought.arrays import Picture
    from mia_seg.evaluate.results import Result
    from mia_seg.recipes import AuditedRecipe
    from mia_seg.recipes.grids import Asked
    from mia_seg.stages.checks import Request
    from mia_seg.stages.keep import Keep
    from mia_seg.stages.plan import Plan
    from mia_seg.stages.results import Measured
    from mia_seg.stages.run import Engine, Say
    from mia_seg.workspace import Workspace

# What is tried where nothing is said. A fleet's attacks compare with many shadows.
QUICK_DEFENSES = ("none", "argmax", "dropout:0.1", "dropout:0.9", "gaussian:0.5", "gaussian:1.0")
DEFENSES = (*QUICK_DEFENSES, "synfeat:0.75")  # the last trains a generator for the victim, and one for the shadow
ATTACKS = ("image_loss", "patch_resnet50:concat", "patch_resnet50:loss", "patch_resnet50:labels")
FLEET_ATTACKS = (
    "image_loss", "label_only", "attack_p", "quantile_regression", "calibration", "attack_r", "base", "lira",
    "lira:offline_cdf", "lira:statistic=vector", "bavaria", "rmia", "rmia:offline", "learned_calibration",
)  # fmt: skip
# The largest that 64 bits with a sign hold, as tables do; shadows draw theirs some ten thousands above it.
LARGEST_SEED = 2**63 - 1

# What needs no shadow, and what needs scenes that nobody trained on beside.
SCREEN = ("image_loss", "label_only", "image_confidence", "predictability_error")
WITH_POOL = ("attack_p", "quantile_regression")
# What reads predicted labels alone, and what takes its place where scenes have no labels to compare them with.
LABEL_SCREEN = ("label_only",)
WITHOUT_LABELS = ("firmness",)


def audit(
    predict: Any = None,
    scenes: "Sequence[Picture]" = (),
    *,
    labels: "Sequence[Picture] | None" = None,
    members: "Sequence[bool | None]" = (),
    groups: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    class_map: str | None = None,
    answers: str | None = None,
    door: dict[str, Any] | None = None,
    name: str = "mine",
    shadows: int = 0,
    victim: str | None = None,
    shadow: str | None = None,
    defenses: Sequence[str] = (),
    attacks: Sequence[str] = (),
    seeds: Sequence[int] = (0,),
    repeats: int = 1,
    quick: bool = False,
    data_root: str | Path | None = None,
    store: str | Path = "runs",
    reports: str | Path = "reports",
    device: str = "auto",
) -> "Audit":
    """Audit a victim: your own model (`predict`), or a victim recipe (`victim`). Attacks run once results are read.

    Your own model:
    predict: a function of one image, uint8 RGB [H, W, 3], or an nn.Module. It is asked about the first ten scenes right
    away; a function with other answers to these counts as another model.
    scenes: N images, as arrays (uint8 RGB [H, W, 3]) or files.
    labels: N label maps, uint8 [H, W] with 255 for ignored pixels, as arrays or files. None: there are none, and
    attacks that need labels are left out.
    members: N of True (trained on), False (never seen) or None (the attacker may use it).
    groups: N names of what belongs together, such as a patient. ids: N names of scenes.
    classes: names of the ids 0, 1, 2, ...; or class_map: the class map of label files.
    answers: what predict returns: "logits" or "posterior", float [K, H, W], or "labels", int [H, W].
    door: other settings of [door], such as {"input": {"scale": 255}}.
    name: of the recipe that this writes into victims/, and of the results.

    victim: the name of a recipe, instead of all that.
    shadow: the name of a shadow recipe; or shadows: how many shadow models to train, by a recipe that this writes.
    Without either, only attacks that need no shadow run.
    defenses, attacks: each 'name' or 'name:value'. Default defenses: `DEFENSES`; none without a shadow or behind a
    door. Default attacks: `ATTACKS`, with many shadows `FLEET_ATTACKS`, without a shadow `SCREEN` and, if there is a
    pool, `WITH_POOL`.
    seeds: one audit each. repeats: how often each scene is asked about. quick: leave out SynFeat.
    data_root: the folder of the data sets. store: where models and answers are kept and reused. reports: where results
    are written. device: cpu, cuda, mps or auto.
    Raises MiaSegError for what is misspelt, missing or does not belong together.
    """
    from mia_seg.store import Store
    from mia_seg.workspace import Workspace

    root = None if data_root is None else Path(data_root)
    workspace = Workspace(Store(Path(store)), root, Path(reports), device)
    held = None
    if (predict is None) == (victim is None):
        raise MiaSegError(
            "mia.audit takes predict (a function) or victim (the name of a recipe). Give exactly one of them."
        )
    if predict is not None:
        told = {"labels": labels, "members": members, "groups": groups, "ids": ids}
        held = _brought(predict, scenes, told, meaning=_meaning(classes, class_map), answers=answers, door=door or {},
                        name=name, store=Path(store))  # fmt: skip
    if shadows and shadow is not None:
        raise MiaSegError("shadow names a recipe, and shadows has a recipe written for so many. Give one of them.")
    audited = victim or name
    if shadows:
        shadow = fleet_of(audited, shadows, workspace)
    found = Audit(
        audited, shadow, defenses, attacks=attacks, seeds=seeds, repeats=repeats, quick=quick, workspace=workspace
    )
    found.held = held
    return found


def fleet_of(victim: str, shadows: int, workspace: "Workspace") -> str:
    """Write the recipe of `shadows` shadow models of a victim, unless it exists, and return its name."""
    from mia_seg.brought.fleet import fleet

    files, name = fleet(victim, shadows, workspace)
    with files.written(only_now=False):
        return name


def _meaning(classes: Sequence[str] | None, class_map: str | None) -> dict[str, Any]:
    if (classes is None) == (class_map is None):
        raise MiaSegError("Give classes, the names of ids 0, 1, 2, ..., or class_map: one of the two.")
    return {"class_map": class_map} if classes is None else {"names": list(classes)}


def _brought(
    predict: Any, scenes: "Sequence[Picture]", told: dict[str, Any], *, meaning: dict[str, Any], answers: str | None,
    door: dict[str, Any], name: str, store: Path,
) -> Any:  # fmt: skip
    """Write down what Python has in hand; what has to be kept for it to be asked."""
    from mia_seg.brought import arrays

    if answers is None:
        raise MiaSegError("answers says what predict gives: 'logits', 'posterior' or 'labels'. It is never guessed.")
    place, rows = arrays.scenes(scenes, told.pop("labels"), **told, root=store)
    held, section = arrays.hold(predict, rows, {"name": "callable", "answers": answers, **door})
    arrays.write(name, place, meaning, door=section)
    return held


def results(reports: str | Path = "reports") -> "pd.DataFrame":
    """Every result below a folder: one row a result and level (image, group, patch), AUC and utility with intervals."""
    from mia_seg.evaluate import results as results_

    return results_.frame(results_.read_all(Path(reports)))


class Audits:
    """Several audits, planned and run together. What several of them need is made once.

    made, written: the results of the last run, and their files. left_out: usual attacks that are not tried -> why.
    """

    held: Any = None  # a function that is asked as long as this object lives
    made: "tuple[Result, ...]" = ()
    written: tuple[Path, ...] = ()

    def __init__(
        self, requests: "Sequence[tuple[Request, Sequence[int]]]", workspace: "Workspace",
        left_out: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        for seed in {seed for _, seeds in requests for seed in seeds}:
            if not 0 <= seed <= LARGEST_SEED:
                raise MiaSegError(f"Seed {seed} is outside 0 to {LARGEST_SEED} (2^63 - 1). Choose one between these.")
        self.requests = tuple((request.at(workspace.precision), tuple(seeds)) for request, seeds in requests)
        self.workspace, self.left_out = workspace, left_out or {}

    @cached_property
    def stages(self) -> "list[Measured]":
        """The results as stages: one for each seed, defense, attack and kind of attacker."""
        from mia_seg.pipeline import Pipeline

        built = Pipeline(self.workspace)
        return [stage for request, seeds in self.requests for seed in seeds for stage in built.audit(request, seed)]

    def plan(self) -> "Plan":
        """The stages of the audits: which exist in the store, which are missing, and what earlier runs cost.

        Raises MiaSegError if a missing stage cannot be made: too few scenes, too little memory.
        """
        from mia_seg.stages import limits
        from mia_seg.stages.plan import Plan

        planned = Plan(tuple(self.stages), self.workspace.store)
        limits.check(planned, self.workspace)
        return planned

    def run(
        self, say: "Say | None" = None, *, long: bool = True, engine: "Engine | None" = None, keep: "Keep" = "all"
    ) -> Self:
        """Make all missing stages and write the results below `reports`. A stopped run goes on from where it stopped.

        say: called with each stage and what became of it. long: whether a run of months may begin. engine: from
        `mia_seg.engines.chosen`; None: stages are made one after the other in this process. keep: what to keep of a
        fleet's shadows: "all", "answers" (no weights) or "statistics" (only what attacks have read of the answers).
        Raises MiaSegError if stages failed, after all stages that do not need them are made.
        """
        from mia_seg import progress
        from mia_seg.stages import length
        from mia_seg.stages.keep import Dropping, anew
        from mia_seg.stages.publish import publish
        from mia_seg.stages.run import run, silent

        planned = self.plan()
        length.check(planned, self.workspace, yes=long)
        if again := anew(planned):
            progress.say(again)
        outcome = run(planned, self.workspace, Dropping(planned, keep, say or silent), engine=engine)
        self.made, self.written = publish(self.stages, self.workspace) if outcome.first else ((), ())
        outcome.check()
        return self

    @cached_property
    def results(self) -> "list[Result]":
        """The results; missing ones are made first."""
        if self.plan().missing:
            self.run()
        return [stage.value(self.workspace.store) for stage in self.stages]

    def table(self) -> "pd.DataFrame":
        """One row a result and level (image, group, patch), AUC and utility with intervals."""
        from mia_seg.evaluate import results as results_

        return results_.frame(self.results)

    def figure(self, name: str = "roc") -> "Figure":
        """A figure of whole images: 'roc', 'pr', 'forest' (AUCs with intervals), 'joint' (leak against mIoU)."""
        from mia_seg.report.single import drawn

        return drawn(name, self.results)

    def report(self) -> Path:
        """Draw the page and its figures from all results below `reports`; the page."""
        from mia_seg.report.from_store import report

        report(self.workspace.reports, self.workspace.store, self.workspace.data_root)
        return self.workspace.reports / "index.html"


class Audit(Audits):
    """Victims and shadows of some seeds under a grid of defenses and attacks."""

    def __init__(
        self, victim: str, shadow: str | None, defenses: Sequence[str] = (), *, attacks: Sequence[str] = (),
        seeds: Sequence[int], repeats: int = 1, quick: bool = False, workspace: "Workspace",
    ) -> None:  # fmt: skip
        if quick and defenses:
            raise MiaSegError("quick takes the usual defenses without SynFeat. Leave it out where you name defenses.")
        tried, left_out = (attacks, {}) if attacks else _usual(victim, shadow, workspace.data_root)
        usual = defenses or _usual_defenses(victim, shadow, quick)
        request = _request(victim, shadow, usual, attacks=tried, repeats=repeats)
        super().__init__([(request, seeds)], workspace, left_out)

    @property
    def request(self) -> "Request":
        """What is asked for, read and checked."""
        return self.requests[0][0]


def grid(
    name: str, *, data_root: str | Path | None = None, store: str | Path = "runs", reports: str | Path = "reports",
    device: str = "auto",
) -> Audits:  # fmt: skip
    """The audits that a file of `grids/` lists, by its name. Raises MiaSegError as `audit` does."""
    from mia_seg.store import Store
    from mia_seg.workspace import Workspace

    root = None if data_root is None else Path(data_root)
    return grid_of(name, Workspace(Store(Path(store)), root, Path(reports), device))


def grid_of(name: str, workspace: "Workspace") -> Audits:
    """The audits of a grid, in a workspace."""
    from mia_seg.recipes import grids

    listed = grids.load(name).audit
    if not listed:
        raise MiaSegError(
            f"Grid '{name}' lists no [[audit]]. Its comparisons are run by 'mia-seg fleet --grid {name}'."
        )
    audits = [_listed(name, place, asked, workspace=workspace) for place, asked in enumerate(listed, 1)]
    left_out = {attack: why for audit in audits for attack, why in audit.left_out.items()}
    return Audits([request for audit in audits for request in audit.requests], workspace, left_out)


def _listed(name: str, place: int, asked: "Asked", *, workspace: "Workspace") -> Audit:
    """One audit of a grid, counted from 1. Raises MiaSegError naming the grid's file and the audit."""
    from mia_seg import recipes

    try:
        return Audit(
            asked.victim, asked.shadow, asked.defenses, attacks=asked.attacks, seeds=asked.seeds, repeats=asked.repeats,
            workspace=workspace,
        )  # fmt: skip
    except MiaSegError as error:
        raise MiaSegError(f"{recipes.find('grid', name)}, [[audit]] {place}: {error}") from None


def _request(
    victim: str, shadow: str | None, defenses: Sequence[str], *, attacks: Sequence[str], repeats: int
) -> "Request":
    """What is asked for, read and checked."""
    from mia_seg.stages import checks

    if shadow is None:
        return checks.screen(victim, defenses, attacked=attacks, repeats=repeats)
    return checks.request(victim, shadow, defenses, attacked=attacks, repeats=repeats)


def _usual_defenses(victim: str, shadow: str | None, quick: bool) -> tuple[str, ...]:
    """The usual defenses: none where the victim is looked at alone, or is somebody else's."""
    from mia_seg import recipes
    from mia_seg.recipes import DoorRecipe

    if shadow is None or isinstance(recipes.load_victim(victim), DoorRecipe):
        return ("none",)
    return QUICK_DEFENSES if quick else DEFENSES


def _usual(victim: str, shadow: str | None, data_root: Path | None) -> tuple[tuple[str, ...], dict[str, str]]:
    """The usual attacks; of a fleet, as far as it has shadows and a pool for them, and why the others are left out."""
    from mia_seg import recipes
    from mia_seg.recipes.adversaries import Fleet
    from mia_seg.stages import checks

    if shadow is None:
        return _usual_screen(victim, data_root)
    recipe = recipes.load_shadow(shadow)
    if not isinstance(recipe.adversary, Fleet):
        return ATTACKS, {}
    left_out = checks.too_few(FLEET_ATTACKS, recipe.adversary.models)
    left_out |= checks.short_of_pool(FLEET_ATTACKS, *_pool(recipe, data_root))
    return tuple(attack for attack in FLEET_ATTACKS if attack not in left_out), left_out


def _usual_screen(victim: str, data_root: Path | None) -> tuple[tuple[str, ...], dict[str, str]]:
    """The usual attacks on a victim alone, as far as its scenes have labels, and why the others are left out."""
    from mia_seg.stages import checks

    usual, left_out = _screened(victim, data_root)
    if _has_labels(victim, data_root):
        return usual, left_out
    blind = checks.without_labels(usual)
    return (*(attack for attack in usual if attack not in blind), *WITHOUT_LABELS), left_out | blind


def _screened(victim: str, data_root: Path | None) -> tuple[tuple[str, ...], dict[str, str]]:
    """What is tried on a victim alone, as far as it answers with posteriors; if there is a pool, as far as it suffices.

    Also why others are left out.
    """
    from mia_seg import recipes
    from mia_seg.stages import checks

    recipe = recipes.load_victim(victim)
    if checks.labels_only(recipe):
        return LABEL_SCREEN, {}
    pool, classes = _pool(recipe, data_root)
    if not pool:
        return SCREEN, {}
    left_out = checks.short_of_pool(WITH_POOL, pool, classes)
    return (*SCREEN, *(attack for attack in WITH_POOL if attack not in left_out)), left_out


def _has_labels(victim: str, data_root: Path | None) -> bool:
    from mia_seg import recipes

    return recipes.load_victim(victim).dataset().has_labels(data_root)


def _pool(recipe: "AuditedRecipe", data_root: Path | None) -> tuple[int, int]:
    """The numbers of scenes in the pool and of classes."""
    dataset = recipe.dataset()
    return len(recipe.split.cut(dataset, data_root, 0).pool), len(dataset.classes())
