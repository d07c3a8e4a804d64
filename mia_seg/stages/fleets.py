"""What a fitted attack on a fleet holds of the fleet itself: read, measured and kept."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mia_seg.attacks._fleet import FleetAttack, FleetAttacker
from mia_seg.errors import MiaSegError
from mia_seg.evaluate.arms import IMAGE_LOSS, Compared, image_loss
from mia_seg.evaluate.audit import data_name, versions
from mia_seg.evaluate.fleet import Described, FleetAudit, audited, rehearsing
from mia_seg.evaluate.results import slug
from mia_seg.metrics.equal_gap import Arm
from mia_seg.recipes.adversaries import Fleet
from mia_seg.report.arms import arms_png
from mia_seg.report.per_scene import exposure_png
from mia_seg.stages import checks
from mia_seg.stages.attackers import FittedAttacker
from mia_seg.stages.checks import Request
from mia_seg.stages.models import TrainedModel
from mia_seg.store import Store, digest, replace, shortened, writing


def request(name: str, attacked: list[str], models: int | None = None) -> Request:
    """What a fleet's own audit asks for, checked. Raises MiaSegError for one shadow, and attacks that need no fleet.

    models: how many of its models are looked at; None: all.
    """
    adversary = checks.shadow_of(name).adversary
    if not isinstance(adversary, Fleet):
        raise MiaSegError(
            f"Shadow '{name}' is one model, and each model of a fleet is the victim in turn. Take a shadow recipe with "
            f"[adversary] choose = 'halves'."
        )
    if models is not None and models > adversary.models:
        raise MiaSegError(f"Fleet '{name}' has {adversary.models} models, not {models}. Lower --models.")
    found = checks.request(adversary.victim, name, ["none"], attacked=attacked)
    for attack in found.attacks:
        if not isinstance(attack.component, FleetAttack):
            raise MiaSegError(
                f"Attack '{attack.called}' does not compare with many shadows, so a fleet says nothing of it. Choose "
                f"one that does: base, calibration, lira, rmia."
            )
        attack.component.check_shadows(models or adversary.models)
    return found


def audit(stage: FittedAttacker, store: Store, rounds: int) -> FleetAudit:
    """Each model of the fleet the victim in turn; with what the stage was made from."""
    attacker, answers = stage.value(store), stage.seen[0].value(store)
    assert isinstance(attacker, FleetAttacker), "refused before"
    assert isinstance(stage.method, FleetAttack), "refused before"
    first = stage.shadows[0]
    group, classes = first.partition(store).group, first.dataset.classes()
    shows_NK, kinds = answers.statistics.pixels_NK > 0, first.objective.kinds(answers.ids)
    groups, shown = [group[i] for i in answers.ids], [classes[k] for k in answers.kept]
    described = Described(groups, shown, shows_NK, kinds, [i in first.dataset.canaries for i in answers.ids])
    found = audited(attacker.fleet, stage.method, described, seed=first.seed, rounds=rounds)
    return FleetAudit(_origin(stage) | found.facts, found.described, found.found)


def compared(stage: FittedAttacker, store: Store) -> Compared:
    """The fleet as an arm, by the attack and by the image loss."""
    attacker, statistics = stage.value(store), [seen.value(store).statistics for seen in stage.seen]
    assert isinstance(attacker, FleetAttacker), "refused before"
    assert isinstance(stage.method, FleetAttack), "refused before"
    read, confusion_MNKK = attacker.fleet, np.stack([one.confusion_NKK for one in statistics])
    losses_MN = np.stack([one.mean_loss() for one in statistics])
    estimates = {stage.called: rehearsing(read, stage.method), IMAGE_LOSS: image_loss(losses_MN)}
    arms = {name: Arm(estimate, read.members_MN, confusion_MNKK) for name, estimate in estimates.items()}
    origin, group = _origin(stage), stage.shadows[0].partition(store).group
    title = origin["victim"] if stage.shadow_name.endswith("_fleet") else stage.shadow_name
    return Compared(origin | {"title": title}, arms, [group[i] for i in read.ids], origin["seed"])


def write_compared(reports: Path, facts: dict[str, Any]) -> list[Path]:
    """How trainings compare at equal gaps: `reports/arms.<attack>.s<seed>.fleet.json` and a figure."""
    first = facts["plain"][0]
    name = f"arms.{slug(first['attack'])}.s{first['seed']}.fleet"
    text = json.dumps(facts, indent=1, sort_keys=True) + "\n"
    files = {"json": text.encode(), "png": arms_png(facts)}
    paths = [reports / f"{name}.{form}" for form in files]
    for path, content in zip(paths, files.values(), strict=True):
        with writing(path):
            replace(path, content)
    return paths


def write(reports: Path, found: FleetAudit) -> list[Path]:
    """The facts as JSON, a line a group as CSV, a figure: `reports/<victim>/<shadow>.<attack>.s<seed>.fleet.json`."""
    facts = found.facts
    name = f"{shortened(facts['shadow'])}.{slug(facts['attack'])}.s{facts['seed']}.fleet"
    text = json.dumps(facts, indent=1, sort_keys=True) + "\n"
    files = {"json": text.encode(), "png": exposure_png(found), "csv": found.text().encode()}
    paths = [reports / facts["victim"] / f"{name}.{form}" for form in files]
    for path, content in zip(paths, files.values(), strict=True):
        with writing(path):
            replace(path, content)
    return paths


def _origin(stage: FittedAttacker) -> dict[str, Any]:
    first = stage.shadows[0]
    assert isinstance(first, TrainedModel), "a fleet is trained"
    adversary, spent = first.recipe.adversary, first.spent()  # type: ignore[attr-defined]
    proven = {"privacy": asdict(spent)} if spent else {}
    return proven | {
        "shadow": stage.shadow_name, "victim": adversary.victim, "dataset": data_name(first.recipe),
        "attack": stage.called, "seed": first.seed, "versions": versions(),
        "digests": {"attacker": stage.digest, "shadow": digest([model.digest for model in stage.shadows])},
    }  # fmt: skip
