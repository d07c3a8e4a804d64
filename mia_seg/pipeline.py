"""The whole line, once: recipe -> scenes -> train -> black box -> query -> answers -> attack -> scores -> results."""

import logging
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from lightning_fabric import Fabric
from lightning_fabric.utilities.exceptions import MisconfigurationException

import mia_seg
from mia_seg import answers as answers_
from mia_seg import attacks, defenses, plugins, query, recipe, results, segmenters, sheets, train
from mia_seg import report as report_
from mia_seg.answers import Answers
from mia_seg.attacks import Attack, Attacker, Known, Scores
from mia_seg.data import Scenes
from mia_seg.defenses import Defense
from mia_seg.errors import MiaSegError
from mia_seg.metrics import membership
from mia_seg.metrics.segmentation import utility, utility_interval
from mia_seg.progress import console
from mia_seg.recipe import Adversary, Kind, Precision, Recipe
from mia_seg.segmenters import Network, Segmenter
from mia_seg.splits import Parts, assert_disjoint
from mia_seg.store import Artefact, Store, reading

# Fabric says at each start which precision it runs in; the recipe says so already.
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
ATTACK_VERSION = 1
CACHE_BYTES = 1 << 30  # decoded training scenes that stay in memory from one epoch to the next
# A shadow starts from weights of its own: no attacker knows those that its victim started from.
SHADOW_SEEDS = 10_000
UNDEFENDED, CONTROL = "none", "patch_resnet50:labels"


@dataclass(frozen=True)
class Space:
    """What belongs to this machine and not to a recipe: where things lie, and what computes."""

    store: Store
    data_root: Path | None
    reports: Path
    device: str = "auto"
    devices: int = 1
    workers: int = 0
    precision: Precision | None = None

    def at_precision(self, settings: Recipe) -> Recipe:
        """The recipe at the precision that `--precision` asks for; it shapes the model, and so its digest."""
        if self.precision is None:
            return settings
        train_ = settings.train.model_copy(update={"precision": self.precision})
        return settings.model_copy(update={"train": train_})

    def fabric(self, precision: str, devices: int = 1) -> Fabric:
        """Lightning Fabric on this machine's device."""
        try:
            fabric = Fabric(accelerator=self.device, devices=devices, precision=precision)  # type: ignore[arg-type]
        except (ValueError, RuntimeError, MisconfigurationException) as error:
            raise MiaSegError(f"--device {self.device} cannot be used: {error} Choose another, or 'auto'.") from None
        fabric.launch()
        return fabric


@dataclass(frozen=True)
class Model:
    """A trained segmenter, victim or shadow, with the scenes whose membership it settles."""

    name: str
    recipe: Recipe
    seed: int
    artefact: Artefact
    parts: Parts
    queries: int = 0

    @property
    def asked(self) -> list[str]:
        """The scenes that an audit asks about, sorted by id: their order says nothing about membership."""
        return sorted(self.parts.members + self.parts.nonmembers)

    def known(self) -> Known:
        """The membership of `asked`, in its order."""
        members = np.isin(self.asked, self.parts.members)
        return Known(members, np.array([self.parts.unit[i] for i in self.asked]))


@dataclass(frozen=True)
class Audit:
    """One cell of the grid: how a victim is defended and attacked."""

    defense: str
    attack: str
    adaptive: bool


def run(
    victim_name: str, shadow_name: str, defended: Sequence[str], attacked: Sequence[str], seed: int, space: Space
) -> list[Path]:
    """Train what is missing, ask, attack, measure: one result for every defense, attack and kind of attacker."""
    _check_request(victim_name, shadow_name, defended, attacked)
    victim = train_victim(victim_name, seed, space)
    shadow = train_shadow(shadow_name, seed, space)
    exact = [plugins.label(defenses, Defense, text) for text in defended]
    return [attack(victim, shadow, audit, space) for audit in grid(exact, attacked)]


def grid(defended: Sequence[str], attacked: Sequence[str]) -> list[Audit]:
    """Every attack on every defense, by an attacker who ignores the defense and by one who trains against it.

    The control that never sees the model is run once: no defense changes what it sees.
    """
    audits = [
        Audit(defense, attack, adaptive)
        for defense in defended
        for attack in attacked
        for adaptive in ((False,) if defense == UNDEFENDED else (False, True))
        if attack != CONTROL
    ]
    return audits + ([Audit(UNDEFENDED, CONTROL, False)] if CONTROL in attacked else [])


def report(space: Space) -> list[Path]:
    """Draw every figure, table and page again from the results on disk."""
    found = results.read_all(space.reports)
    if not found:
        raise MiaSegError(f"{space.reports} holds no results. Run 'mia-seg run VICTIM SHADOW' first.")
    return report_.write(space.reports, found, sheets.cam_sheets(found, space.store, space.data_root))


def settings_of(kind: Kind, name: str) -> Recipe:
    """The recipe, once what it says in [segmenter] and [attacks] is known to exist and to be spelt right."""
    settings, path = recipe.load(kind, name), recipe.find(kind, name)
    plugins.from_section(segmenters, Segmenter, settings.segmenter, f"{path}: [segmenter]")
    for method, values in settings.attacks.items():
        plugins.from_section(attacks, Attack, values | {"name": method}, f"{path}: [attacks.{method}]")
    return settings


def train_victim(name: str, seed: int, space: Space) -> Model:
    """The victim, trained on its members or reused."""
    settings = space.at_precision(settings_of("victim", name))
    return _train(
        name, settings, seed, settings.split.cut(settings.dataset(), space.data_root, seed), 0, "victims", space
    )


def train_shadow(name: str, seed: int, space: Space) -> Model:
    """Adversary A1's shadow: its members are the scenes of the attacker's pool that the victim is surest of.

    Choosing by confidence makes members easier than non-members; `choose = "random"` is the control.
    """
    settings = space.at_precision(settings_of("shadow", name))
    adversary = settings.adversary
    assert adversary is not None
    cut = settings.split.cut(settings.dataset(), space.data_root, seed)
    block = max(Counter(cut.unit[i] for i in cut.pool).values(), default=1)
    if adversary.members + block > len(cut.pool):
        raise MiaSegError(
            f"Shadow '{name}': [adversary] members = {adversary.members} leaves no non-members "
            f"in a pool of {len(cut.pool)}. Lower it."
        )
    victim = train_victim(adversary.victim, seed, space)
    _check_pool(cut.pool, settings, victim)
    ranking, queries = _ranked(adversary, cut, victim, seed, space)
    members = _fill(ranking, cut, adversary.members)
    # What is left of a block whose other frames are members is no non-member: they look alike.
    seen = {cut.unit[i] for i in members}
    parts = Parts(members, [i for i in cut.pool if cut.unit[i] not in seen], [], cut.unit)
    return _train(name, settings, seed, parts, queries, "shadows", space, first_seed=SHADOW_SEEDS)


def attack(victim: Model, shadow: Model, audit: Audit, space: Space) -> Path:
    """Fit on the shadow's answers, score the victim's, join the victim's membership, measure, write the result."""
    assert shadow.recipe.adversary is not None
    _check_match(shadow.name, shadow.recipe, victim.name)
    stride = shadow.recipe.adversary.stride
    theirs = answers_of(victim, victim.asked, audit.defense, stride, space)
    own = answers_of(shadow, shadow.asked, audit.defense if audit.adaptive else UNDEFENDED, stride, space)
    method = attack_settings(audit.attack, shadow.recipe)
    made = {"own": own.path.name, "attack": repr(method), "seed": shadow.seed, "version": ATTACK_VERSION}
    artefact = space.store.artefact("attackers", f"{shadow.name}.{slug(audit.attack)}", made)
    expected = _result(victim, shadow, audit, method, theirs, own, artefact)
    path = results.path_of(space.reports, expected)
    if path.is_file() and results.read(path).get("digests") == expected["digests"]:
        say("reused", path.stem, "result")
        return path
    attacker = _fitted(method, artefact, own, shadow, space)
    scores = attacker.score(theirs, victim.seed)
    return results.write(space.reports, expected | _measured(scores, attacker, victim, shadow, theirs, own))


def answers_of(model: Model, ids: Sequence[str], defense: str, stride: int, space: Space) -> Answers:
    """What the defended model answers to some scenes, asked now or read from the store."""
    guard = plugins.parse(defenses, Defense, defense)
    made = {
        "model": model.artefact.digest, "ids": recipe.digest(list(ids)), "defense": repr(guard), "stride": stride,
        "window": model.recipe.model_dump(mode="json")["window"], "seed": model.seed, "version": query.VERSION,
    }  # fmt: skip
    artefact = space.store.artefact("answers", f"{model.name}.{slug(defense)}", made)
    if not artefact.whole:
        scenes = Scenes(model.recipe.dataset(), space.data_root, ids)
        network = network_of(model)
        space.fabric("32-true").to_device(network)
        with artefact.make() as folder:
            box = guard.guard(network, model.recipe.window)
            query.query(box, scenes, stride, model.seed, folder, f"  asking {model.name} ({defense})")
    with reading(artefact.path):
        return answers_.load(artefact.path)


def network_of(model: Model) -> Network:
    """The trained network."""
    classes = len(model.recipe.dataset().classes())
    return train.load_network(model.recipe, classes, model.artefact.path / train.WEIGHTS)


def attack_settings(text: str, settings: Recipe) -> Attack:
    """The attack `name` or `name:value` with what the shadow's recipe says of it in `[attacks.<name>]`."""
    name = text.partition(":")[0]
    return plugins.parse(attacks, Attack, text, settings.attacks.get(name, {}))


def slug(text: str) -> str:
    """A name for files: 'gaussian:0.5' -> 'gaussian-0.5'."""
    return text.replace(":", "-")


def say(did: str, what: str, kind: str = "") -> None:
    """One line of what happened."""
    console.print(f"[dim]{did:>8}[/] {kind} {what}" if kind else f"[dim]{did:>8}[/] {what}", soft_wrap=True)


def _train(
    name: str, settings: Recipe, seed: int, parts: Parts, queries: int, stage: str, space: Space, first_seed: int = 0
) -> Model:
    made = {
        "recipe": settings.digest("data", "segmenter", "train"), "members": recipe.digest(parts.members),
        "nonmembers": recipe.digest(parts.nonmembers), "seed": first_seed + seed, "version": train.VERSION,
    }  # fmt: skip
    made |= settings.dataset().fingerprint()
    artefact = space.store.artefact(stage, f"{name}.s{seed}", made)
    if artefact.whole:
        say("reused", f"{name}, seed {seed} ({artefact.digest})", stage[:-1])
    else:
        scenes = Scenes(settings.dataset(), space.data_root, parts.members, room=CACHE_BYTES)
        fabric = space.fabric(settings.train.precision, space.devices)
        with artefact.make() as folder:
            train.train(settings, scenes, first_seed + seed, folder, fabric, space.workers, f"{name}, seed {seed}")
        say("trained", f"{name}, seed {seed} ({artefact.digest}) on {len(parts.members)} scenes", stage[:-1])
    return Model(name, settings, seed, artefact, parts, queries)


def _check_request(victim_name: str, shadow_name: str, defended: Sequence[str], attacked: Sequence[str]) -> None:
    """Refuse what is misspelt or does not belong together before the first hour of training."""
    settings_of("victim", victim_name)
    shadow = settings_of("shadow", shadow_name)
    _check_match(shadow_name, shadow, victim_name)
    for text in defended:
        plugins.parse(defenses, Defense, text)
    for text in attacked:
        attack_settings(text, shadow)


def _check_match(shadow_name: str, shadow: Recipe, victim_name: str) -> None:
    assert shadow.adversary is not None
    if shadow.adversary.victim != victim_name:
        raise MiaSegError(
            f"Shadow '{shadow_name}' was made for victim '{shadow.adversary.victim}', not '{victim_name}': "
            f"adversary A1 chooses its members by asking its victim. Write a shadow recipe for this victim."
        )


def _check_pool(pool: Sequence[str], settings: Recipe, victim: Model) -> None:
    # The same id is the same scene even where the two recipes resize it differently.
    if all(settings.data.get(key) == victim.recipe.data.get(key) for key in ("name", "path")):
        assert_disjoint(pool, victim.asked, f"The attacker's pool and the scenes of victim '{victim.name}'")


def _ranked(adversary: Adversary, cut: Parts, victim: Model, seed: int, space: Space) -> tuple[list[str], int]:
    """The pool's units in the order in which the attacker takes them, and how many queries that cost."""
    if adversary.choose == "confidence":
        return _surest(answers_of(victim, cut.pool, UNDEFENDED, adversary.stride, space), cut), len(cut.pool)
    units = sorted({cut.unit[i] for i in cut.pool})
    return [str(unit) for unit in np.random.default_rng(seed).permutation(units)], 0


def _surest(answers: Answers, cut: Parts) -> list[str]:
    """The pool's units, the one that the victim is surest of first (mean over a unit's scenes)."""
    of_unit: dict[str, list[float]] = {}
    for scene_id, confidence in zip(answers.ids, answers.statistics.confidence_N, strict=True):
        of_unit.setdefault(cut.unit[scene_id], []).append(float(confidence))
    return sorted(of_unit, key=lambda unit: -float(np.mean(of_unit[unit])))


def _fill(ranking: Sequence[str], cut: Parts, count: int) -> list[str]:
    """Whole units from the front of the ranking until `count` scenes are there."""
    rank = {unit: place for place, unit in enumerate(ranking)}
    return sorted(sorted(cut.pool, key=lambda i: (rank[cut.unit[i]], i))[:count])


def _fitted(method: Attack, artefact: Artefact, own: Answers, shadow: Model, space: Space) -> Attacker:
    fabric = space.fabric(getattr(method, "precision", "32-true"))
    if artefact.whole:
        with reading(artefact.path):
            return method.load(artefact.path, fabric)
    with artefact.make() as folder:
        attacker = method.fit(own, shadow.known(), shadow.seed, fabric)
        attacker.save(folder)
    return attacker


def _result(
    victim: Model, shadow: Model, audit: Audit, method: Attack, theirs: Answers, own: Answers, attacker: Artefact
) -> dict[str, Any]:
    """What is known of a result before it is measured; its digests say whether an old one still holds."""
    adversary = shadow.recipe.adversary
    assert adversary is not None
    return {
        "victim": victim.name, "shadow": shadow.name, "seed": victim.seed,
        "dataset": victim.recipe.data.get("path", victim.recipe.data["name"]),
        "adversary": adversary.kind, "choose": adversary.choose, "queries": shadow.queries + len(victim.asked),
        "defense": audit.defense, "attack": audit.attack.partition(":")[0],
        "representation": getattr(method, "representation", ""), "adaptive": audit.adaptive,
        "settings": method.model_dump(mode="json"),
        "digests": {
            "victim": victim.artefact.digest, "shadow": shadow.artefact.digest, "attacker": attacker.digest,
            "victim_answers": theirs.path.name.rpartition("-")[2], "shadow_answers": own.path.name.rpartition("-")[2],
        },
        "versions": {
            "mia-seg": mia_seg.__version__, "python": platform.python_version(),
            "torch": version("torch"), "timm": version("timm"),
        },
    }  # fmt: skip


def _measured(
    scores: Scores, attacker: Attacker, victim: Model, shadow: Model, theirs: Answers, own: Answers
) -> dict[str, Any]:
    """Membership joined back by position in `asked`, at image and, where the attack has patches, at patch level."""
    known = victim.known()
    measure = membership.measure
    image = measure(
        scores.image_N, known.members_N, threshold=attacker.thresholds.image, units=known.units_N, seed=victim.seed
    )
    levels = {"image": asdict(image)}
    if scores.patch_NP is not None and attacker.thresholds.patch is not None:
        repeat = scores.patch_NP.shape[1]
        units, members = known.units_N.repeat(repeat), known.members_N.repeat(repeat)
        patch = measure(
            scores.patch_NP.ravel(), members, threshold=attacker.thresholds.patch, units=units, seed=victim.seed
        )
        levels["patch"] = asdict(patch)
    return {"levels": levels, "utility": _utility(theirs, known), "shadow_utility": _utility(own, shadow.known())}


def _utility(answers: Answers, known: Known) -> dict[str, dict[str, float]]:
    sides: dict[Literal["members", "nonmembers"], np.ndarray] = {
        "members": known.members_N,
        "nonmembers": ~known.members_N,
    }
    return {
        name: _with_interval(answers.statistics.confusion_NKK[rows], known.units_N[rows])
        for name, rows in sides.items()
    }


def _with_interval(confusion_NKK: np.ndarray, units_N: np.ndarray) -> dict[str, float]:
    values = utility(confusion_NKK.sum(0))
    bounds = utility_interval(confusion_NKK, units_N.tolist())
    ends = {f"{name}_{end}": bounds[name][i] for name in values for i, end in enumerate(("low", "high"))}
    return values | ends
