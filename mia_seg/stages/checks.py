"""Checks of a request before any training: its names exist, and its parts fit together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import get_args

from mia_seg import attacks, defenses, generators, objectives, plugins, recipes, segmenters, updates
from mia_seg.attacks import Attack
from mia_seg.attacks._fleet import FleetAttack
from mia_seg.attacks._threshold import StatisticAttack
from mia_seg.data import Dataset
from mia_seg.data._paired import Paired
from mia_seg.defenses import Defense, NetworkDefense
from mia_seg.errors import MiaSegError
from mia_seg.evaluate.audit import Cell
from mia_seg.generators import Generator
from mia_seg.objectives import Objective
from mia_seg.oracles import doors
from mia_seg.oracles.doors import Door
from mia_seg.plugins import Selected
from mia_seg.recipes import AuditedRecipe, DoorRecipe, Kind, Precision, Recipe, ShadowRecipe, VictimRecipe
from mia_seg.recipes.adversaries import A2, Fleet
from mia_seg.recipes.splits import Partition
from mia_seg.segmenters import Segmenter
from mia_seg.stages.scenes import Cut
from mia_seg.updates import Update

UNDEFENDED = plugins.select(defenses, Defense, "none")
NO_POOL = (
    "Attack '{}' compares with scenes that nobody trained on, and there are none. Give the split a pool, or leave the "
    "attack out."
)
FEW_IN_POOL = (
    "Attack '{}' takes, for {} classes, a pool of at least {} scenes, and there are {}. Give the split a larger pool, "
    "or leave the attack out."
)
NO_LABELS = (
    "Attack '{}' compares predictions with labels, and the scenes have none. Give their labels, or leave the attack "
    "out."
)
CONTROL = "labels"  # what the patch attack's control sees: no model, and so no defense


@dataclass(frozen=True)
class Request:
    """A checked request: names of recipes, defenses and attacks."""

    victim: str
    shadow: str | None  # None: the screen, which asks the victim alone
    defenses: tuple[Selected[Defense], ...]
    attacks: tuple[Selected[Attack], ...]
    repeats: int = 1

    def at(self, precision: Precision | None) -> "Request":
        """The request with attackers that train in this precision, if they can; None: in the recipe's."""
        if precision is None:
            return self
        found = (replace(attack, component=_at(attack.component, precision)) for attack in self.attacks)
        return replace(self, attacks=tuple(found))

    def cells(self) -> list[Cell]:
        """Every attack on every defense, by an attacker who ignores the defense and by one who trains against it.

        The control that never sees the model is run once: no defense changes what it sees.
        """
        seen = [attack for attack in self.attacks if attack.variant != CONTROL]
        cells = [
            Cell(defense, attack, adaptive, self.repeats)
            for defense, attack in product(self.defenses, seen)
            for adaptive in self._kinds(defense)
        ]
        return cells + [Cell(UNDEFENDED, attack, False) for attack in self.attacks if attack.variant == CONTROL]

    def _kinds(self, defense: Selected[Defense]) -> tuple[bool, ...]:
        """Whether an attacker trains against a defense. Whoever screens chooses thresholds on what is released."""
        if defense == UNDEFENDED:
            return (False,)
        return (True,) if self.shadow is None else (False, True)


def screen(victim: str, defended: Sequence[str], *, attacked: Sequence[str], repeats: int = 1) -> Request:
    """The checked request of an audit without a shadow."""
    ours = victim_of(victim)
    found = Request(
        victim, None, _defenses(defended), tuple(plugins.select(attacks, Attack, a) for a in attacked), repeats
    )
    for attack in found.attacks:
        if not isinstance(attack.component, StatisticAttack):
            raise MiaSegError(
                f"Attack '{attack.called}' learns from a shadow, and this audit has none. Leave it out, or run "
                f"'mia-seg run {victim} SHADOW'."
            )
    if isinstance(ours, DoorRecipe):
        _check_door(victim, ours, found)
    return found


def has_pool(attack: Selected[Attack], cut: Cut) -> None:
    """Raise MiaSegError if the attack needs a larger pool than the split has."""
    if said := _short(attack, len(cut.parts.pool), len(cut.dataset.classes())):
        raise MiaSegError(said)


def _short(attack: Selected[Attack], pool: int, classes: int) -> str:
    least = attack.component.least_population(classes)
    if pool >= least:
        return ""
    return FEW_IN_POOL.format(attack.called, classes, least, pool) if pool else NO_POOL.format(attack.called)


def has_labels(attack: Selected[Attack], cut: Cut) -> None:
    """Raise MiaSegError if the attack needs labels and the scenes have none."""
    if attack.component.needs_labels and cut.unlabelled:
        raise MiaSegError(NO_LABELS.format(attack.called))


def _defenses(texts: Sequence[str]) -> tuple[Selected[Defense], ...]:
    return tuple(plugins.select(defenses, Defense, text) for text in texts)


def request(victim: str, shadow: str, defended: Sequence[str], *, attacked: Sequence[str], repeats: int = 1) -> Request:
    """The checked request. Raises MiaSegError for names that do not exist and for parts that do not fit together."""
    if isinstance(repeats, bool) or not isinstance(repeats, int) or repeats < 1:
        raise MiaSegError(
            f"repeats = {plugins.shown(repeats)} is no number of times to ask about a scene. Give 1 or more."
        )
    ours, theirs = victim_of(victim), shadow_of(shadow)
    check_match(shadow, theirs, victim, victim=ours)
    found = Request(
        victim,
        shadow,
        _defenses(defended),
        tuple(
            plugins.select(attacks, Attack, text, defaults=theirs.attacks.get(text.partition(":")[0], {}))
            for text in attacked
        ),
        repeats,
    )
    for attack in found.attacks:
        _check_shadows(attack, shadow, theirs)
    if isinstance(ours, DoorRecipe):
        _check_door(victim, ours, found)
    return found


def victim_of(name: str) -> VictimRecipe | DoorRecipe:
    """A victim's recipe. Raises MiaSegError if it names a component or setting that does not exist."""
    found, path = recipes.load_victim(name), recipes.find("victim", name)
    if isinstance(found, DoorRecipe):
        door = plugins.from_section(doors, Door, found.door, where=f"{path}: [door]")
        if found.window is not None and door.by_name:
            raise MiaSegError(
                f"{path}: [window] cuts images, and door '{found.door['name']}' holds answers to whole ones. Leave "
                f"it out."
            )
    else:
        _check_starts(found, [name])
        _check_components(found, f"{path}")
    return found


def shadow_of(name: str) -> ShadowRecipe:
    """A shadow's recipe, likewise; [attacks] too."""
    found, path = recipes.load_shadow(name), recipes.find("shadow", name)
    _check_starts(found, [])
    _check_components(found, f"{path}")
    for method, values in found.attacks.items():
        plugins.from_section(attacks, Attack, values | {"name": method}, where=f"{path}: [attacks.{method}]")
    if isinstance(found.adversary, Fleet):
        victim = found.adversary.victim
        try:
            audited = recipes.load_victim(victim)
        except MiaSegError as error:
            raise MiaSegError(f"{path}: [adversary] victim = '{victim}': {error}") from None
        _check_halves(name, found, audited, victim_name=victim)
    return found


def recipe_of(kind: Kind, name: str) -> AuditedRecipe:
    """The recipe of a victim or shadow, checked."""
    return victim_of(name) if kind == "victim" else shadow_of(name)


def same_members(name: str, own: Partition, base: str, *, others: Partition) -> None:
    """Raise MiaSegError if a training with synthetic features has other members than the victim it continues."""
    if own.members != others.members:
        raise MiaSegError(
            f"'{name}' goes on from '{base}' ([synthetic] of), but they train on different scenes. Give both the same "
            f"[data] and [split]."
        )


def check_match(shadow_name: str, shadow: ShadowRecipe, victim_name: str, *, victim: VictimRecipe | DoorRecipe) -> None:
    """Raise MiaSegError if a shadow was made by asking another victim, or if both have other classes.

    A fleet asked no victim, so it attacks any victim of the same data; `same_scenes` compares their scenes later.
    """
    # Tuning with synthetic features goes on from a victim: the attacker may have asked that one.
    synthetic = victim.synthetic if isinstance(victim, VictimRecipe) else None
    asked = {victim_name} | ({synthetic.of} if synthetic else set())
    if isinstance(shadow.adversary, Fleet):
        _check_data(shadow_name, shadow, victim_name, victim=victim)
    elif not isinstance(shadow.adversary, A2) and shadow.adversary.victim not in asked:
        raise MiaSegError(
            f"Shadow '{shadow_name}' was made for victim '{shadow.adversary.victim}', not '{victim_name}': "
            f"adversary A1 chooses its members by asking its victim. Write a shadow recipe for this victim."
        )
    own, others = shadow.dataset().classes(), victim.dataset().classes()
    if own != others:
        raise MiaSegError(
            f"Shadow '{shadow_name}' has {_few(own)} and victim '{victim_name}' {_few(others)}. The attack needs the "
            f"same classes. Merge the labels of both in [data], for street scenes into the 19 of Cityscapes."
        )


def _check_data(name: str, shadow: ShadowRecipe, victim_name: str, *, victim: AuditedRecipe) -> None:
    if _unsized(shadow.dataset()) != _unsized(victim.dataset()):
        raise MiaSegError(
            f"Fleet '{name}' has other data than victim '{victim_name}'. Give both the same [data], but for size, or "
            f"write a fleet for this victim."
        )


def same_scenes(name: str, own: Partition, victim: str, *, others: Partition) -> None:
    """Raise MiaSegError if the fleet's scenes, pool or groups differ from the victim's. Members may differ."""
    for part, what in (("audited", "audited scenes"), ("pool", "pool")):
        if strays := sorted({*getattr(own, part)} ^ {*getattr(others, part)}):
            raise MiaSegError(
                f"Fleet '{name}' and victim '{victim}' differ in their {what}: only one of them has {len(strays)} "
                f"scenes ('{strays[0]}', for one). Give both a [split] of the same scenes; members may differ."
            )
    if strays := [i for i in own.audited if own.group[i] != others.group[i]]:
        raise MiaSegError(
            f"Fleet '{name}' and victim '{victim}' group scenes differently ('{strays[0]}', for one), so halves would "
            f"divide groups. Give both the same [split] rule and block."
        )


def same_canaries(name: str, own: Dataset, victim: str, *, others: Dataset) -> None:
    """Raise MiaSegError if the fleet has other canaries than the victim."""
    if own.origin().get("canaries") != others.origin().get("canaries"):
        raise MiaSegError(
            f"Fleet '{name}' and victim '{victim}' have other canaries. Give both the same [split] canaries and canary."
        )


def _check_shadows(attack: Selected[Attack], name: str, shadow: ShadowRecipe) -> None:
    """What the attack compares with will be there."""
    method, adversary = attack.component, shadow.adversary
    if method.needs_fleet:
        if not isinstance(adversary, Fleet):
            raise MiaSegError(
                f"Attack '{attack.called}' compares with many shadows, and '{name}' is one. Take a shadow recipe with "
                f"[adversary] choose = 'halves'."
            )
        if isinstance(method, FleetAttack):
            method.check_shadows(adversary.models)
    known = shadow.split.rule == "stated" or shadow.split.pool != 0  # what a data set states is seen when it is cut
    if method.needs_population and (isinstance(adversary, A2) or not known):
        raise MiaSegError(
            f"Attack '{attack.called}' compares with scenes like the victim's that nobody trained on, and shadow "
            f"'{name}' has none: adversary A1 has them in [split] pool. Leave the attack out, or take another shadow."
        )


def _check_door(name: str, victim: DoorRecipe, asked: Request) -> None:
    """Behind a door there is no network to change, and perhaps no posterior to read."""
    for defense in asked.defenses:
        if isinstance(defense.component, NetworkDefense):
            raise MiaSegError(
                f"Defense '{defense.name}' changes the forward pass, and victim '{name}' is behind a door. Choose one "
                f"that changes the answer alone, as argmax or gaussian do."
            )
    for attack in asked.attacks:
        if labels_only(victim) and attack.component.needs_posterior:
            raise MiaSegError(
                f"Attack '{attack.name}' reads posteriors, and victim '{name}' answers labels alone. Choose one that "
                f"reads labels: label_only."
            )


def labels_only(recipe: AuditedRecipe) -> bool:
    """Whether a victim answers labels alone. Some doors know what they answer."""
    if not isinstance(recipe, DoorRecipe):
        return False
    return plugins.from_section(doors, Door, recipe.door, where="[door]").answers == "labels"


def too_few(texts: Sequence[str], models: int) -> dict[str, str]:
    """Attack -> error, for those that need more shadows than `models`."""
    found = {}
    for text in texts:
        method = plugins.parse(attacks, Attack, text)
        try:
            if isinstance(method, FleetAttack):
                method.check_shadows(models)
        except MiaSegError as error:
            found[text] = str(error)
    return found


def short_of_pool(texts: Sequence[str], pool: int, classes: int) -> dict[str, str]:
    """Attack -> error, for those that need a larger pool than one of so many scenes."""
    found = {text: _short(plugins.select(attacks, Attack, text), pool, classes) for text in texts}
    return {text: said for text, said in found.items() if said}


def needs_no_aid(name: str, objective: Objective) -> None:
    """Raise MiaSegError if an objective needs teachers or other scenes: members chosen by asking are known too late."""
    if objective.reference() or objective.taught_by(["a", "b"], {"a": "a", "b": "b"}, seed=0):
        raise MiaSegError(
            f"Shadow '{name}': its [objective] takes teachers or other scenes, and its members are known only once its "
            f"victim has been asked. Choose members by 'random' or 'halves'."
        )


def same_labels(cut: Cut, victim: str) -> None:
    """Raise MiaSegError if the victim's scenes have no labels: attacks fitted on a shadow need them."""
    if cut.unlabelled:
        raise MiaSegError(
            f"The scenes of victim '{victim}' have no labels, and attacks with a shadow need them. Name label files "
            f"in its table, or audit it without a shadow: mia-seg audit {victim}."
        )


def without_labels(texts: Sequence[str]) -> dict[str, str]:
    """Attack -> error, for those that need labels."""
    return {text: NO_LABELS.format(text) for text in texts if plugins.parse(attacks, Attack, text).needs_labels}


def _check_components(recipe: Recipe, path: str) -> None:
    plugins.from_section(segmenters, Segmenter, recipe.segmenter, where=f"{path}: [segmenter]")
    plugins.from_section(objectives, Objective, recipe.objective, where=f"{path}: [objective]")
    plugins.from_section(updates, Update, recipe.update, where=f"{path}: [update]")
    plugins.from_section(generators, Generator, recipe.generator, where=f"{path}: [generator]")


def _check_halves(name: str, shadow: ShadowRecipe, victim: AuditedRecipe, *, victim_name: str) -> None:
    if (_unsized(shadow.dataset()), shadow.split) != (_unsized(victim.dataset()), victim.split):
        raise MiaSegError(
            f"Shadow '{name}' is a fleet: it trains on halves of the scenes on which victim "
            f"'{victim_name}' is audited. Give it the same [data], but for size, and the same [split]."
        )


def _unsized(dataset: Dataset) -> Dataset:
    """Of files, whatever they are resized to; what is made at another size is another scene."""
    return dataset.model_copy(update={"size": None}) if isinstance(dataset, Paired) else dataset


def _check_starts(recipe: Recipe, seen: list[str]) -> None:
    """The victims that it goes on from exist and do not go round in a circle."""
    taught = recipe.synthetic.of if isinstance(recipe, VictimRecipe) and recipe.synthetic else None
    for key, name in {"[train] start": recipe.train.start, "[synthetic] of": taught}.items():
        if name is None:
            continue
        if name in seen:
            raise MiaSegError(f"{key} goes round in a circle: {' -> '.join([*seen, name])}. Break it.")
        _check_starts(recipes.load_trained(name), [*seen, name])


def _at(attack: Attack, precision: Precision) -> Attack:
    known = type(attack).model_fields.get("precision")
    able = known is not None and precision in get_args(known.annotation)
    return attack.model_copy(update={"precision": precision}) if able else attack


def _few(classes: Sequence[str]) -> str:
    return f"{len(classes)} classes ({', '.join(classes[:3])} ...)"
