"""A fleet's audit of its own recipe: from a fitted attack's readings to files in reports."""

import json
from collections.abc import Container, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mia_seg import attacks, plugins
from mia_seg.attacks import Attack
from mia_seg.attacks._fleet import FleetAttack, FleetAttacker
from mia_seg.defenses import Defense, NetworkDefense
from mia_seg.errors import MiaSegError
from mia_seg.evaluate.arms import IMAGE_LOSS, Compared, image_loss
from mia_seg.evaluate.arms import read as read_compared
from mia_seg.evaluate.audit import data_name, versions
from mia_seg.evaluate.fleet import Described, FleetAudit, audited, rehearsing
from mia_seg.evaluate.results import slug
from mia_seg.metrics.equal_gap import Arm
from mia_seg.plugins import Selected
from mia_seg.recipes import ShadowRecipe, VictimRecipe, load_victim
from mia_seg.recipes.adversaries import Fleet
from mia_seg.report.arms import arms_png
from mia_seg.report.per_scene import exposure_png
from mia_seg.stages import checks
from mia_seg.stages.attackers import FittedAttacker, OneByOne, Rehearsed
from mia_seg.stages.checks import UNDEFENDED, Request
from mia_seg.store import Store, digest, replace, shortened, writing


def request(
    name: str, attacked: Sequence[str], models: int | None = None, *, defended: Sequence[str] = (UNDEFENDED.label,)
) -> Request:
    """The checked request of a fleet's own audit.

    models: how many it is to have; None: as many as its recipe says. Raises MiaSegError for a single shadow, for
    attacks that use no fleet, and for too few models.
    """
    adversary = checks.shadow_of(name).adversary
    if not isinstance(adversary, Fleet):
        raise MiaSegError(
            f"Shadow '{name}' is one model, and each model of a fleet is the victim in turn. Take a shadow recipe with "
            f"[adversary] choose = 'halves'."
        )
    found = checks.request(adversary.victim, name, defended, attacked=attacked)
    for attack in found.attacks:
        _check_models(attack, name, models or adversary.models)
    return found


def _check_models(attack: Selected[Attack], name: str, count: int) -> None:
    """Raise MiaSegError if so many models are too few for an attack on a fleet, or if it is none."""
    if not isinstance(attack.component, FleetAttack):
        kinds = {name: plugins.load(attacks, Attack, name) for name in plugins.names(attacks)}
        able = ", ".join(name for name, kind in kinds.items() if issubclass(kind, FleetAttack))
        raise MiaSegError(
            f"Attack '{attack.called}' does not use many shadows, so a fleet cannot measure it. Choose one that does: "
            f"{able}."
        )
    pairs = attack.component.least_pairs()
    # With two pairs there is no interval, so that one may be compared with.
    if count < (least := 2 * pairs + (4 if pairs > 1 else 2)):
        raise MiaSegError(
            f"Attack '{attack.called}' needs {least} models here, and fleet '{name}' has {count}: one pair plays the "
            f"victim, the interval leaves out another one, and {2 * pairs} are to compare with. Take {least} models or "
            f"more, or leave the attack out."
        )
    attack.component.check_shadows(count)


def check_alike(rehearsed: Sequence[Rehearsed]) -> None:
    """Raise MiaSegError if fleets that are to be compared at one seed differ in scenes, halves or canaries."""
    first: dict[int, tuple[str, Any]] = {}
    for one in rehearsed:
        name, models = one.fitted.shadow_name, one.fitted.shadows
        trained = [model.scenes.cut.parts.members for model in models], models[0].dataset.canaries
        other, theirs = first.setdefault(models[0].seed, (name, trained))
        if trained != theirs:
            raise MiaSegError(
                f"Fleets '{other}' and '{name}' train on other scenes or halves, or have other canaries, so their "
                f"leaks cannot be compared. Give them the same [data], but for size, and the same [split]."
            )


def check_plain(rehearsed: Sequence[Rehearsed], curve: Sequence[str]) -> None:
    """Raise MiaSegError if a fleet of the curve, to which others are held, is no plain training."""
    for one in rehearsed:
        name, special = one.fitted.shadow_name, one.fitted.shadows[0].special
        if name in curve and special:
            sections = " and ".join(f"[{section}] {value['name']}" for section, value in special.items())
            raise MiaSegError(
                f"Fleet '{name}' trains with {sections}, so it is no plain training for --curve, or curve in a grid. "
                f"Name it among the fleets that are compared."
            )


def check_apart(reports: Path, comparisons: Iterable[Sequence[Rehearsed]]) -> None:
    """Raise MiaSegError where a comparison would replace one of other trainings, here or among these.

    Its file is named after attacks, defense and seed. One that has all trainings of the other may replace it.
    """
    seen: dict[Path, set[str]] = {}
    for several in comparisons:
        for path, titles in _planned(reports, several).items():
            kept = seen.get(path) or (_titles(read_compared(path)) if path.is_file() else set())
            if lost := sorted(kept - titles):
                raise MiaSegError(
                    f"{path} is of the same attacks, defense and seed, and compares '{lost[0]}' too, which would be "
                    f"lost. Compare it along, or give --reports another folder."
                )
            seen[path] = titles


def _planned(reports: Path, rehearsed: Sequence[Rehearsed]) -> dict[Path, set[str]]:
    """The files that a comparison will write, each with the titles of its trainings."""
    found: dict[tuple[int, str], dict[str, list[str]]] = {}
    for one in rehearsed:
        met = found.setdefault((one.fitted.shadows[0].seed, one.defense), {})
        met.setdefault(_title(one.fitted), []).append(one.fitted.called)
    whole = max(map(len, found.values()))  # defenses of single fleets alone have no file
    planned = {}
    for (seed, defense), met in found.items():
        if len(met) == whole:
            name = _name_compared({"defense": defense, "seed": seed}, next(iter(met.values())))
            planned[reports / f"{name}.json"] = {*met}
    return planned


def _titles(facts: dict[str, Any]) -> set[str]:
    return {one["title"] for one in (*facts["plain"], *facts["others"])}


def audit(one: Rehearsed, store: Store, rounds: int) -> FleetAudit:
    """The audit in which each model of the fleet is the victim in turn, with digests of what it was made from."""
    stage = one.fitted
    attacker, answers = stage.value(store), stage.seen[0].value(store)
    assert isinstance(attacker, FleetAttacker), "refused before"
    assert isinstance(stage.method, FleetAttack), "refused before"
    first = stage.shadows[0]
    group, classes = first.partition(store).group, first.dataset.classes()
    counted = np.flatnonzero([i not in first.dataset.companions for i in answers.ids])
    ids, shows_NK = [answers.ids[k] for k in counted], answers.statistics.pixels_NK[counted] > 0
    groups, shown = [group[i] for i in ids], [classes[k] for k in answers.kept]
    canary_N = [i in first.dataset.canaries for i in ids]
    described = Described(groups, shown, shows_NK, first.objective.kinds(ids), canary_N)
    found = audited(attacker.fleet.take(counted), stage.method, described, seed=first.seed, rounds=rounds)
    return FleetAudit(_of_one(one) | found.facts, found.described, found.found, found.ratios)


def compared(rehearsed: Sequence[Rehearsed], store: Store, shared: Container[str]) -> dict[str, Compared]:
    """Defense -> the fleet to be compared, with an arm for each attack.

    An attacker who has undefended answers can apply to them any defense that changes only the answer. So without a
    defense all attacks behind such defenses are within reach, and behind a defense those that were run behind it.
    shared: the defenses that all fleets of the comparison met; others are left out of that reach, or the fleet that met
    more of them would be judged by more attacks.
    """
    by_defense: dict[str, list[Rehearsed]] = {}
    for one in rehearsed:
        by_defense.setdefault(one.defense, []).append(one)
    arms = {defense: _arms(alike, store) for defense, alike in by_defense.items()}
    canaries = {defense: _arms(alike, store, canaries=True) for defense, alike in by_defense.items()}
    every = {
        attack if defense == UNDEFENDED.label else f"{attack} behind {defense}": arm
        for defense, mine in sorted(arms.items(), key=lambda item: item[0] != UNDEFENDED.label)
        if defense in shared and not isinstance(_defense(by_defense[defense]), NetworkDefense)
        for attack, arm in mine.items()
    }
    return {
        defense: Compared(
            _of_arms(alike, store),
            arms[defense],
            every if defense == UNDEFENDED.label else arms[defense],
            canaries[defense],
        )
        for defense, alike in by_defense.items()
    }


def _defense(alike: Sequence[Rehearsed]) -> Defense:
    return alike[0].fitted.seen[0].audited.defense.component


def _minutes(fitted: FittedAttacker, store: Store) -> float | None:
    """Of training a model, and the generator that its defense takes, on the mean; None where no log of one is kept."""
    drawn = [one.audited.generator for one in fitted.seen]
    told = [model.seconds(store) for model in fitted.shadows] + [each.seconds(store) for each in drawn if each]
    kept = [seconds for seconds in told if seconds is not None]
    return sum(kept) / len(fitted.shadows) / 60 if len(kept) == len(told) else None


def _arms(alike: Sequence[Rehearsed], store: Store, *, canaries: bool = False) -> dict[str, Arm]:
    """By the attacks behind one defense, and by the image loss of the same answers; of canaries or of all others."""
    first = alike[0].fitted
    answers, dataset = OneByOne(first.seen, store), first.shadows[0].dataset
    wrong, beside = dataset.canaries, dataset.companions
    scenes = np.flatnonzero([(i in wrong) == canaries and i not in beside for i in answers[0].ids])
    if not len(scenes):
        return {}
    statistics = (one.statistics.take(scenes) for one in answers)
    told = zip(*((one.mean_loss(), one.confusion_NKK) for one in statistics), strict=True)
    losses_MN, confusion_MNKK = map(np.stack, told)
    group, found = first.shadows[0].partition(store).group, dict[str, Arm]()
    for one in alike:
        attacker, method = one.fitted.value(store), one.fitted.method
        assert isinstance(attacker, FleetAttacker), "refused before"
        assert isinstance(method, FleetAttack), "refused before"
        read, seed = attacker.fleet.take(scenes), first.shadows[0].seed
        estimates = {one.fitted.called: rehearsing(read, method), IMAGE_LOSS: image_loss(losses_MN)}
        groups = [group[i] for i in read.ids]
        found |= {k: Arm(each, read.members_MN, confusion_MNKK, groups, seed) for k, each in estimates.items()}
    return found | {IMAGE_LOSS: found.pop(IMAGE_LOSS)}


def write_compared(reports: Path, facts: dict[str, Any]) -> list[Path]:
    """Write a comparison of trainings: `reports/arms.[<defense>.]<attack>[+<attack>].s<seed>.fleet.json`, and a PNG."""
    first = facts["plain"][0]
    name = _name_compared(first, first["digests"]["attackers"])
    return _put(reports / name, facts, png=arms_png(facts))


def write(reports: Path, found: FleetAudit) -> list[Path]:
    """Write an audit's facts as JSON, its groups as CSV, and a figure.

    Files: `reports/<victim>/<shadow>.[<defense>.]<attack>.s<seed>.fleet.json` and so on.
    """
    facts = found.facts
    name = _name(shortened(facts["shadow"]), facts, slug(facts["attack"]))
    return _put(reports / facts["victim"] / name, facts, png=exposure_png(found), csv=found.text().encode())


def _name_compared(facts: dict[str, Any], attacks: Iterable[str]) -> str:
    return _name("arms", facts, shortened("+".join(map(slug, attacks))))


def _name(what: str, facts: dict[str, Any], attacks: str) -> str:
    """The name of a file without its last suffix."""
    defense = [] if facts["defense"] == UNDEFENDED.label else [slug(facts["defense"])]
    return ".".join([what, *defense, attacks, f"s{facts['seed']}", "fleet"])


def _put(stem: Path, facts: dict[str, Any], **others: bytes) -> list[Path]:
    """Facts as JSON, and what stands beside them by its suffix."""
    text = json.dumps(facts, indent=1, sort_keys=True) + "\n"
    files = {stem.with_name(f"{stem.name}.{form}"): made for form, made in ({"json": text.encode()} | others).items()}
    for path, content in files.items():
        with writing(path):
            replace(path, content)
    return list(files)


def _title(stage: FittedAttacker) -> str:
    """What a comparison calls a fleet: its victim's name where it trains as that does, else its own."""
    fleet, adversary = _recipe(stage)
    victim = load_victim(adversary.victim)
    alike = isinstance(victim, VictimRecipe) and (victim.data, victim.shaping()) == (fleet.data, fleet.shaping())
    return adversary.victim if alike else stage.shadow_name


def _of_one(one: Rehearsed) -> dict[str, Any]:
    stage = one.fitted
    return _origin(one) | {
        "attack": stage.called, "digests": {"attacker": stage.digest, "shadow": _models_digest(stage)}
    }  # fmt: skip


def _of_arms(alike: Sequence[Rehearsed], store: Store) -> dict[str, Any]:
    first, attackers = alike[0].fitted, {one.fitted.called: one.fitted.digest for one in alike}
    digests = {"attackers": attackers, "shadow": _models_digest(first)}
    base = load_victim(_recipe(first)[1].victim).variant_of
    told = {"title": _title(first), "variant_of": base, "minutes": _minutes(first, store)}
    return _origin(alike[0]) | told | {"digests": digests}


def _origin(one: Rehearsed) -> dict[str, Any]:
    stage, first = one.fitted, one.fitted.shadows[0]
    spent = first.spent()
    proven = {"privacy": asdict(spent)} if spent else {}
    return proven | {
        "shadow": stage.shadow_name, "victim": _recipe(stage)[1].victim, "dataset": data_name(first.recipe),
        "defense": one.defense, "seed": first.seed, "versions": versions(),
    }  # fmt: skip


def _models_digest(stage: FittedAttacker) -> str:
    return digest([model.digest for model in stage.shadows])


def _recipe(stage: FittedAttacker) -> tuple[ShadowRecipe, Fleet]:
    """A fleet's recipe, and what it says of its models."""
    recipe = stage.shadows[0].recipe
    assert isinstance(recipe, ShadowRecipe), "a fleet is of shadows"
    assert isinstance(recipe.adversary, Fleet), "refused before"
    return recipe, recipe.adversary
