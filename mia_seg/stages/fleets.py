"""What a fitted attack on a fleet holds of the fleet itself: read, measured and kept."""

import json
from pathlib import Path
from typing import Any

from mia_seg.attacks._fleet import FleetAttack, FleetAttacker
from mia_seg.errors import MiaSegError
from mia_seg.evaluate.audit import data_name, versions
from mia_seg.evaluate.fleet import Described, FleetAudit, audited
from mia_seg.evaluate.results import slug
from mia_seg.recipes.adversaries import Fleet
from mia_seg.report.per_scene import exposure_png
from mia_seg.stages import checks
from mia_seg.stages.attackers import FittedAttacker
from mia_seg.stages.checks import Request
from mia_seg.store import Store, digest, replace, shortened, writing


def request(name: str, attacked: list[str]) -> Request:
    """What a fleet's own audit asks for, checked. Raises MiaSegError for one shadow, and attacks that need no fleet."""
    adversary = checks.shadow_of(name).adversary
    if not isinstance(adversary, Fleet):
        raise MiaSegError(
            f"Shadow '{name}' is one model, and each model of a fleet is the victim in turn. Take a shadow recipe with "
            f"[adversary] choose = 'halves'."
        )
    found = checks.request(adversary.victim, name, ["none"], attacked=attacked)
    for attack in found.attacks:
        if not isinstance(attack.component, FleetAttack):
            raise MiaSegError(
                f"Attack '{attack.called}' does not compare with many shadows, so a fleet says nothing of it. Choose "
                f"one that does: base, calibration, lira, rmia."
            )
    return found


def audit(stage: FittedAttacker, store: Store, rounds: int) -> FleetAudit:
    """Each model of the fleet the victim in turn; with what the stage was made from."""
    attacker, answers = stage.value(store), stage.seen[0].value(store)
    assert isinstance(attacker, FleetAttacker), "refused before"
    assert isinstance(stage.method, FleetAttack), "refused before"
    first = stage.shadows[0]
    group, classes = first.partition(store).group, first.dataset.classes()
    described = Described(
        [group[i] for i in answers.ids], [classes[k] for k in answers.kept], answers.statistics.pixels_NK > 0
    )
    found = audited(attacker.fleet, stage.method, described, seed=first.seed, rounds=rounds)
    return FleetAudit(_origin(stage) | found.facts, described, found.found)


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
    adversary = first.recipe.adversary  # type: ignore[attr-defined]
    return {
        "shadow": stage.shadow_name, "victim": adversary.victim, "dataset": data_name(first.recipe),
        "attack": stage.called, "seed": first.seed, "versions": versions(),
        "digests": {"attacker": stage.digest, "shadow": digest([model.digest for model in stage.shadows])},
    }  # fmt: skip
