"""The whole line, once: recipe -> scenes -> train -> black box -> query -> answers -> attack -> scores -> results."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from lightning_fabric import Fabric

from mia_seg import defenses, generators, launch, plugins, query, recipes, train
from mia_seg import report as report_
from mia_seg.attacks import Attack, Attacker
from mia_seg.attacks._readings import Fleet
from mia_seg.data import Scenes
from mia_seg.defenses import Defense
from mia_seg.errors import MiaSegError
from mia_seg.evaluate import results
from mia_seg.evaluate.audit import Audit, Model, described, many_shadows, measured, tuned
from mia_seg.evaluate.controls import controls
from mia_seg.evaluate.results import slug
from mia_seg.gan.synthetic import Source
from mia_seg.generators import Generator
from mia_seg.progress import console
from mia_seg.query import answers as answers_
from mia_seg.query import difficulty, transforms
from mia_seg.query.answers import Answers
from mia_seg.recipes import Adversary, Recipe, Synthetic
from mia_seg.recipes.splits import Partition, read_ids
from mia_seg.report import from_store
from mia_seg.stages import deployed, shadow_members
from mia_seg.stages.checks import attack_settings, check_apart, check_match, check_request, settings_of
from mia_seg.store import Artefact, reading, write_json
from mia_seg.workspace import Workspace

ATTACK_VERSION, FLEET_VERSION = 2, 2
CACHE_BYTES = 1 << 30  # decoded training scenes that stay in memory from one epoch to the next
# A shadow starts from weights of its own: no attacker knows those that its victim started from.
SHADOW_SEEDS = 10_000
# Pretraining is done once, whatever the seeds of the victims and shadows that begin with it.
START_SEED = 0
DIFFICULTY = "difficulty.json"
UNDEFENDED, CONTROL = "none", "patch_resnet50:labels"


def run(
    victim_name: str, shadow_name: str, defended: Sequence[str], attacked: Sequence[str], seed: int, space: Workspace,
    repeats: int = 1,
) -> list[Path]:  # fmt: skip
    """Train what is missing, ask, attack, measure: one result for every defense, attack and kind of attacker."""
    check_request(victim_name, shadow_name, defended, attacked)
    victim = train_victim(victim_name, seed, space)
    shadow = train_shadow(shadow_name, seed, space)
    own = shadow.parts.pool if shadow.fleet else shadow.asked  # a fleet trains on halves of the victim's scenes
    check_apart(own, shadow.recipe, victim.asked, victim.recipe, f"Shadow '{shadow_name}'", victim_name)
    exact = [plugins.label(defenses, Defense, text) for text in defended]
    if any(plugins.parse(defenses, Defense, text).needs_generator for text in exact):
        write_score(victim, train_generator(victim, space), space)
    return [attack(victim, shadow, audit, space) for audit in grid(exact, attacked, repeats)]


def grid(defended: Sequence[str], attacked: Sequence[str], repeats: int = 1) -> list[Audit]:
    """Every attack on every defense, by an attacker who ignores the defense and by one who trains against it.

    The control that never sees the model is run once: no defense changes what it sees.
    """
    audits = [
        Audit(defense, attack, adaptive, repeats)
        for defense in defended
        for attack in attacked
        for adaptive in ((False,) if defense == UNDEFENDED else (False, True))
        if attack != CONTROL
    ]
    return audits + ([Audit(UNDEFENDED, CONTROL, False)] if CONTROL in attacked else [])


def report(space: Workspace) -> list[Path]:
    """Draw every figure, table and page again from the results on disk."""
    found = results.read_all(space.reports)
    if not found:
        raise MiaSegError(f"{space.reports} holds no results. Run 'mia-seg run VICTIM SHADOW' first.")
    cams = from_store.cam_sheets(found, space.store, space.data_root)
    losses = from_store.loss_sheets(found, space.store, space.data_root)
    return report_.write(space.reports, found, cams, results.read_generators(space.reports), losses)


def train_victim(name: str, seed: int, space: Workspace) -> Model:
    """The victim, trained on its members or reused."""
    settings = space.at_precision(settings_of("victim", name))
    return _train(
        name, settings, seed, settings.split.cut(settings.dataset(), space.data_root, seed), 0, "victims", space
    )


def train_shadow(name: str, seed: int, space: Workspace) -> Model:
    """The attacker's own segmenter: A1's is trained on scenes that its victim chose, A2's on data of its own.

    Of a fleet all are trained; the first one carries the others.
    """
    settings = space.at_precision(settings_of("shadow", name))
    assert settings.adversary is not None
    cut = settings.split.cut(settings.dataset(), space.data_root, seed)
    if settings.adversary.models is not None:
        return _train_fleet(name, settings, shadow_members.halves(cut, settings.adversary.models, seed), seed, space)
    parts, queries = (cut, 0) if settings.adversary.kind == "A2" else _chosen(name, settings, cut, seed, space)
    return _train(name, settings, seed, parts, queries, "shadows", space, first_seed=SHADOW_SEEDS)


def generator_section(victim_name: str, text: str | None) -> dict[str, Any]:
    """A victim's `[generator]`; `text` (`name` or `name:value,key=other`) goes before what the recipe says."""
    section = settings_of("victim", victim_name).generator
    if text is None:
        return section
    chosen = plugins.parse(generators, Generator, text, {key: v for key, v in section.items() if key != "name"})
    return {"name": text.partition(":")[0]} | chosen.model_dump(mode="json", exclude_defaults=True)


def with_generator(model: Model, section: dict[str, Any]) -> Model:
    """The model with this `[generator]`."""
    return replace(model, recipe=model.recipe.model_copy(update={"generator": section}))


def train_generator(model: Model, space: Workspace) -> Artefact:
    """The generator of a victim's or shadow's features, trained on its members or reused."""
    artefact = deployed.place_of_generator(model, space.store)
    kept = artefact.whole
    if not kept:
        deployed.train_generator(model, artefact, space.data_root, space.fabric("32-true"), CACHE_BYTES)
    say("reused" if kept else "trained", f"of {model.name}, seed {model.seed} ({artefact.digest})", "generator")
    return artefact


def write_score(model: Model, artefact: Artefact, space: Workspace) -> Path:
    """The score of a generator, epoch by epoch, beside the results of its victim."""
    return results.write_generator(space.reports, deployed.score_of(model, artefact))


def attack(victim: Model, shadow: Model, audit: Audit, space: Workspace) -> Path:
    """Fit on the shadow's answers, score the victim's, join the victim's membership, measure, write the result."""
    assert shadow.recipe.adversary is not None
    check_match(shadow.name, shadow.recipe, victim.name)
    known = audit if audit.adaptive else replace(audit, defense=UNDEFENDED, repeats=1)
    method = attack_settings(audit.attack, shadow.recipe)
    theirs = _asked(victim, shadow, method, audit, space)
    own = _asked(shadow, shadow, method, known, space)
    independent = shadow.recipe.adversary.kind == "A2"
    seen_theirs, seen_own = shadow_members.common_classes(theirs, own, shadow.name) if independent else (theirs, own)
    made = {"own": own.path.name, "attack": repr(method), "seed": shadow.seed, "version": ATTACK_VERSION}
    made |= {} if seen_own is own else {"classes": seen_own.kept}
    made |= {"transforms": [*method.transforms, transforms.VERSION]} if method.transforms else {}
    made |= {"difficulty": difficulty.VERSION} if method.needs_difficulty else {}
    if method.needs_fleet:
        made |= {"version": FLEET_VERSION, "fleet": shadow.digest, "defense": known.defense, "repeats": known.repeats}
    artefact = space.store.artefact("attackers", f"{shadow.name}.{slug(audit.attack)}", made)
    expected = described(victim, shadow, audit, method, theirs, own, artefact)
    path = results.path_of(space.reports, expected)
    if path.is_file() and results.read(path).get("digests") == expected["digests"]:
        say("reused", path.stem, "result")
        return path
    attacker = _fitted(method, artefact, seen_own, shadow, known, space)
    scores = attacker.score(seen_theirs, victim.seed)
    found = measured(scores, attacker, victim, shadow, theirs, own) | {"tuned": tuned(method, attacker)}
    found |= many_shadows(scores, victim, seen_theirs) if method.needs_fleet else {}
    control = {"controls": controls(scores.image_N, victim, space.store, space.data_root)}
    return results.write(space.reports, expected | found | control)


def answers_of(
    model: Model,
    ids: Sequence[str],
    defense: str,
    stride: int,
    space: Workspace,
    repeats: int = 1,
    transform: str | None = None,
) -> Answers:
    """What the defended model answers to some scenes, asked now or read from the store; the mean over `repeats`.

    transform: what it is asked about in place of the scenes as they are (`mia_seg.query.transforms`).
    """
    guard = plugins.parse(defenses, Defense, defense)
    made = {
        "model": model.artefact.digest, "ids": recipes.digest(list(ids)), "defense": repr(guard), "stride": stride,
        "window": model.recipe.model_dump(mode="json")["window"], "seed": model.seed, "version": query.VERSION,
    }  # fmt: skip
    generator = _generator_of(model, space) if guard.needs_generator else None
    made |= {} if generator is None else {"generator": generator.digest}
    made |= {} if repeats == 1 else {"repeats": repeats}
    made |= {} if transform is None else {"transform": [transform, transforms.VERSION]}
    artefact = space.store.artefact("answers", f"{model.name}.{slug(defense)}", made)
    while launch.rank() > 0 and not artefact.whole:
        time.sleep(1)  # the first process asks; the others need the answers to go on
    if not artefact.whole:
        scenes = Scenes(model.recipe.dataset(), space.data_root, ids)
        network = deployed.network_of(model) if generator is None else deployed.paired(model, generator)
        space.fabric("32-true").to_device(network)
        with artefact.make() as folder:
            box = guard.guard(network, model.recipe.window)
            how = ", ".join(filter(None, (defense, transform, f"{repeats} times" if repeats > 1 else "")))
            query.query(box, scenes, stride, model.seed, folder, f"  asking {model.name} ({how})", repeats, transform)
    with reading(artefact.path):
        return answers_.load(artefact.path)


def say(did: str, what: str, kind: str = "") -> None:
    """One line of what happened."""
    console.print(f"[dim]{did:>8}[/] {kind} {what}" if kind else f"[dim]{did:>8}[/] {what}", soft_wrap=True)


def _train(
    name: str,
    settings: Recipe,
    seed: int,
    parts: Partition,
    queries: int,
    stage: str,
    space: Workspace,
    first_seed: int = 0,
) -> Model:
    made = {
        "recipe": settings.digest("data", "segmenter", "train"), "members": recipes.digest(parts.members),
        "nonmembers": recipes.digest(parts.nonmembers), "seed": first_seed + seed, "version": train.VERSION,
    }  # fmt: skip
    made |= settings.dataset().fingerprint()
    start = None if settings.train.start is None else train_victim(settings.train.start, START_SEED, space)
    if start is not None:
        made["start"] = start.artefact.digest
        check_apart(
            parts.nonmembers, settings, start.parts.members, start.recipe, f"Non-members of '{name}'", start.name
        )
    taught = None if settings.synthetic is None else _taught(name, settings.synthetic, parts, seed, space)
    if taught is not None:
        made |= {"synthetic": settings.model_dump(mode="json")["synthetic"], "generator": taught[1].digest}
        start = taught[0]
    artefact = space.store.artefact(stage, f"{name}.s{seed}", made)
    if artefact.whole:
        say("reused", f"{name}, seed {seed} ({artefact.digest})", stage[:-1])
    else:
        scenes = Scenes(settings.dataset(), space.data_root, parts.members, room=CACHE_BYTES)
        fabric = space.fabric(settings.train.precision, joint=True)
        with artefact.make() as folder:
            weights = None if start is None else start.artefact.path / train.WEIGHTS
            title = f"{name}, seed {seed}"
            source = None if taught is None else _source(*taught, settings, space, fabric)
            train.train(settings, scenes, first_seed + seed, folder, fabric, space.workers, title, weights, source)
        say("trained", f"{name}, seed {seed} ({artefact.digest}) on {len(parts.members)} scenes", stage[:-1])
    return Model(name, settings, seed, artefact, parts, queries)


def _generator_of(model: Model, space: Workspace) -> Artefact:
    """The generator of a model, trained if it is missing; that it is there was said before."""
    artefact = deployed.place_of_generator(model, space.store)
    return artefact if artefact.whole else train_generator(model, space)


def _taught(name: str, synthetic: Synthetic, parts: Partition, seed: int, space: Workspace) -> tuple[Model, Artefact]:
    """The victim whose weights and generator a training with synthetic features begins with; trained if missing."""
    base = train_victim(synthetic.of, seed, space)
    if base.parts.members != parts.members:
        raise MiaSegError(
            f"'{name}' and '{base.name}', of which it has its features ([synthetic] of), train on other scenes. Give "
            f"both the same [data] and [split]."
        )
    return base, train_generator(base, space)


def _source(base: Model, generator: Artefact, settings: Recipe, space: Workspace, fabric: Fabric) -> Source | None:
    assert settings.synthetic is not None
    if not settings.synthetic.share:
        return None
    source = deployed.source_of(base, generator, settings.synthetic, space.data_root, CACHE_BYTES)
    fabric.to_device(source.paired)
    return source


def _train_fleet(name: str, settings: Recipe, parts: Sequence[Partition], seed: int, space: Workspace) -> Model:
    """One model for each half; each is an artefact of its own, so that a stopped fleet goes on where it was."""
    assert settings.adversary is not None
    assert settings.adversary.victim is not None
    theirs = recipes.load("victim", settings.adversary.victim)
    if (settings.data, settings.split) != (theirs.data, theirs.split):
        raise MiaSegError(
            f"Shadow '{name}' is a fleet: it trains on halves of the scenes on which victim "
            f"'{settings.adversary.victim}' is audited. Give it the same [data] and [split]."
        )
    first, *others = (
        _train(f"{name}-{k:02d}" if k else name, settings, seed, half, 0, "shadows", space, SHADOW_SEEDS * (k + 1))
        for k, half in enumerate(parts)
    )
    return replace(first, fleet=tuple(others))


def _asked(model: Model, shadow: Model, method: Attack, audit: Audit, space: Workspace) -> Answers:
    """What a model answers to its audited scenes and, where an attack needs it, to transforms and the fleet's pool.

    Beside it, where an attack needs that, how hard the scenes are.
    """
    adversary = shadow.recipe.adversary
    assert adversary is not None

    def ask(ids: Sequence[str], transform: str | None = None) -> Answers:
        return answers_of(model, ids, audit.defense, adversary.stride, space, audit.repeats, transform)

    found = replace(
        ask(model.asked),
        transforms={transform: ask(model.asked, transform).statistics for transform in method.transforms},
        difficulty_N=_difficulty(model, space) if method.needs_difficulty else None,
    )
    pool = shadow.parts.pool if method.needs_population else []
    return replace(found, population=ask(pool).statistics) if pool else found


def _difficulty(model: Model, space: Workspace) -> np.ndarray:
    """How hard the labels of the audited scenes are to predict, for any model of these scenes: [N]."""
    dataset = model.recipe.dataset()
    made = {"recipe": model.recipe.digest("data"), "ids": recipes.digest(model.asked), "version": difficulty.VERSION}
    artefact = space.store.artefact("difficulty", model.recipe.data["name"], made | dataset.fingerprint())
    if not artefact.whole:
        scenes = Scenes(dataset, space.data_root, model.asked)
        with artefact.make() as folder:
            found_N = difficulty.difficulty(scenes, f"  difficulty of the scenes of {model.name}")
            write_json(folder / DIFFICULTY, found_N.tolist())
    with reading(artefact.path):
        return np.array(json.loads((artefact.path / DIFFICULTY).read_text(encoding="utf-8")))


def _chosen(name: str, settings: Recipe, cut: Partition, seed: int, space: Workspace) -> tuple[Partition, int]:
    """Adversary A1's members out of its pool, and the queries that they cost.

    Choosing by confidence makes members easier than non-members; `choose = "random"` is the control.
    """
    adversary = settings.adversary
    assert adversary is not None
    assert adversary.victim is not None
    block = max(Counter(cut.group[i] for i in cut.pool).values(), default=1)
    if isinstance(adversary.members, int) and adversary.members + block > len(cut.pool):
        raise MiaSegError(
            f"Shadow '{name}': [adversary] members = {adversary.members} leaves no non-members "
            f"in a pool of {len(cut.pool)}. Lower it."
        )
    victim = train_victim(adversary.victim, seed, space)
    check_apart(cut.pool, settings, victim.asked, victim.recipe, f"The pool of shadow '{name}'", victim.name)
    members, queries = _members(adversary, cut, victim, seed, space)
    # What is left of a block whose other frames are members is no non-member: they look alike.
    seen = {cut.group[i] for i in members}
    return Partition(members, [i for i in cut.pool if cut.group[i] not in seen], [], cut.group), queries


def _members(adversary: Adversary, cut: Partition, victim: Model, seed: int, space: Workspace) -> tuple[list[str], int]:
    """The scenes of the pool that the shadow trains on, and how many queries choosing them cost."""
    if isinstance(adversary.members, str):
        return read_ids(space.data_root, adversary.members, cut.pool), 0
    assert adversary.members is not None
    if adversary.choose == "confidence":
        ranking = shadow_members.surest(answers_of(victim, cut.pool, UNDEFENDED, adversary.stride, space), cut)
        return shadow_members.fill(ranking, cut, cut.pool, adversary.members), len(cut.pool)
    groups = sorted({cut.group[i] for i in cut.pool})
    ranking = [str(u) for u in np.random.default_rng(seed).permutation(groups)]
    return shadow_members.fill(ranking, cut, cut.pool, adversary.members), 0


def _fitted(
    method: Attack, artefact: Artefact, own: Answers, shadow: Model, known: Audit, space: Workspace
) -> Attacker:
    fabric = space.fabric(getattr(method, "precision", "32-true"))
    if artefact.whole:
        with reading(artefact.path):
            return method.load(artefact.path, fabric)
    with artefact.make() as folder:
        if method.needs_fleet:
            answers = tuple(_asked(model, shadow, method, known, space) for model in shadow.models)
            attacker = method.fit_fleet(Fleet(answers, np.stack([m.known().members_N for m in shadow.models])))
        else:
            attacker = method.fit(own, shadow.known(), shadow.seed, fabric)
        attacker.save(folder)
    return attacker
