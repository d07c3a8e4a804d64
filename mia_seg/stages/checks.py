"""Whether what is asked for exists, is spelt right and belongs together: said before the first hour of training."""

from collections.abc import Sequence

from mia_seg import attacks, defenses, generators, plugins, recipes, segmenters
from mia_seg.attacks import Attack
from mia_seg.defenses import Defense
from mia_seg.errors import MiaSegError
from mia_seg.generators import Generator
from mia_seg.recipes import Kind, Recipe
from mia_seg.recipes.splits import assert_disjoint
from mia_seg.segmenters import Segmenter


def settings_of(kind: Kind, name: str) -> Recipe:
    """The recipe, once what it says in [segmenter], [generator] and [attacks] is known to be there and spelt right."""
    settings, path = recipes.load(kind, name), recipes.find(kind, name)
    _check_starts(settings, [name] if kind == "victim" else [])
    plugins.from_section(segmenters, Segmenter, settings.segmenter, f"{path}: [segmenter]")
    plugins.from_section(generators, Generator, settings.generator, f"{path}: [generator]")
    for method, values in settings.attacks.items():
        plugins.from_section(attacks, Attack, values | {"name": method}, f"{path}: [attacks.{method}]")
    return settings


def attack_settings(text: str, settings: Recipe) -> Attack:
    """The attack `name` or `name:value` with what the shadow's recipe says of it in `[attacks.<name>]`."""
    name = text.partition(":")[0]
    return plugins.parse(attacks, Attack, text, settings.attacks.get(name, {}))


def check_request(victim_name: str, shadow_name: str, defended: Sequence[str], attacked: Sequence[str]) -> None:
    """Refuse what is misspelt or does not belong together before the first hour of training."""
    settings_of("victim", victim_name)
    shadow = settings_of("shadow", shadow_name)
    check_match(shadow_name, shadow, victim_name)
    for text in defended:
        plugins.parse(defenses, Defense, text)
    for text in attacked:
        method = attack_settings(text, shadow)
        if method.needs_fleet and (shadow.adversary is None or shadow.adversary.models is None):
            raise MiaSegError(
                f"Attack '{text}' compares with many shadows, and '{shadow_name}' is one. Take a shadow recipe with "
                f"[adversary] choose = 'halves'."
            )


def _check_starts(settings: Recipe, seen: list[str]) -> None:
    """The victims that it goes on from exist and do not go round in a circle."""
    taught = settings.synthetic.of if settings.synthetic else None
    goes_on = {"[train] start": settings.train.start, "[synthetic] of": taught}
    for key, name in goes_on.items():
        if name is None:
            continue
        if name in seen:
            raise MiaSegError(f"{key} goes round in a circle: {' -> '.join([*seen, name])}. Break it.")
        _check_starts(recipes.load("victim", name), [*seen, name])


def check_match(shadow_name: str, shadow: Recipe, victim_name: str) -> None:
    """A shadow that asked a victim attacks that one, and both know the same classes. Raises MiaSegError."""
    assert shadow.adversary is not None
    victim = recipes.load("victim", victim_name)
    # Tuning with synthetic features goes on from a victim: the attacker may have asked that one.
    asked = {victim_name} | ({victim.synthetic.of} if victim.synthetic else set())
    if shadow.adversary.kind == "A1" and shadow.adversary.victim not in asked:
        raise MiaSegError(
            f"Shadow '{shadow_name}' was made for victim '{shadow.adversary.victim}', not '{victim_name}': "
            f"adversary A1 chooses its members by asking its victim. Write a shadow recipe for this victim."
        )
    own, theirs = shadow.dataset().classes(), victim.dataset().classes()
    if own != theirs:
        raise MiaSegError(
            f"Shadow '{shadow_name}' knows {_few(own)} and victim '{victim_name}' {_few(theirs)}: the attack compares "
            f"class by class. Merge the labels of both in [data], for street scenes into the 19 of Cityscapes."
        )


def _few(classes: Sequence[str]) -> str:
    return f"{len(classes)} classes ({', '.join(classes[:3])} ...)"


def check_apart(
    mine: Sequence[str], settings: Recipe, asked: Sequence[str], theirs: Recipe, what: str, victim_name: str
) -> None:
    """Two lists of scenes have none in common, where both recipes read the same data. Raises MiaSegError."""
    # The same id is the same scene even where the two recipes resize it or name its classes differently.
    if all(settings.data.get(key) == theirs.data.get(key) for key in ("name", "path")):
        assert_disjoint(mine, asked, f"{what} and the scenes of victim '{victim_name}'")
