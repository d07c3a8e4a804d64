"""The graph of an audit: recipe -> scenes -> model -> oracle (+ defense) -> answers -> attacker -> result.

Building it runs nothing; `mia_seg.stages.run` makes what a store lacks of it.
"""

from collections.abc import Sequence

from mia_seg import objectives, plugins, recipes
from mia_seg.attacks._threshold import StatisticAttack
from mia_seg.defenses import Defense
from mia_seg.evaluate.audit import Cell
from mia_seg.objectives import Objective
from mia_seg.plugins import Selected
from mia_seg.recipes import DoorRecipe, Recipe, ShadowRecipe, VictimRecipe
from mia_seg.recipes.adversaries import A1, A2, Fleet, Screen
from mia_seg.stages import checks, limits
from mia_seg.stages.answers import AskedModel
from mia_seg.stages.attackers import FittedAttacker, Rehearsed, Seen
from mia_seg.stages.blind import BlindControl
from mia_seg.stages.checks import UNDEFENDED, Request
from mia_seg.stages.classes import CommonClasses
from mia_seg.stages.company import Accompanied
from mia_seg.stages.difficulty import Difficulty
from mia_seg.stages.existing import ExistingModel, door_of
from mia_seg.stages.generators import TrainedGenerator
from mia_seg.stages.models import Model, Role, TrainedModel
from mia_seg.stages.results import Measured
from mia_seg.stages.scenes import Cut, Divided, Part, check_apart
from mia_seg.stages.screen import CrossFitted
from mia_seg.stages.shadow_members import ShadowMembers, check_room, drawn, halves, listed, trained
from mia_seg.stages.sources import Sources, once
from mia_seg.stages.synthetic import SyntheticFeatures
from mia_seg.workspace import Workspace

# A shadow starts from weights of its own: no attacker knows those that its victim started from.
SHADOW_SEEDS = 10_000
# Nor do teachers start from their student's.
TEACHER_SEEDS = 1_000_000
# Pretraining is done once, whatever the seeds of the victims and shadows that begin with it.
START_SEED = 0


class Pipeline:
    """Builds the stages of an audit. The same request returns the same stage."""

    def __init__(self, workspace: Workspace) -> None:
        self.data_root, self.sources = workspace.data_root, Sources(workspace)

    def audit(self, request: Request, seed: int) -> list[Measured]:
        """One result for every defense, attack and kind of attacker."""
        if request.shadow is None:
            return [self.screened(self.victim(request.victim, seed), cell) for cell in request.cells()]
        recipe, cut = self._shadow(request.shadow, seed)
        if isinstance(recipe.adversary, A2 | Fleet):  # of A1 the pool is looked at where its members are chosen
            own = cut.parts.pool if isinstance(recipe.adversary, Fleet) else cut.parts.audited
            self._check_apart(f"Shadow '{request.shadow}'", cut, own, victim=(request.victim, seed))
        if isinstance(recipe.adversary, Fleet):
            if recipe.adversary.victim != request.victim:
                others = self._victim(request.victim, seed)[1]
                checks.same_scenes(request.shadow, cut.parts, request.victim, others=others.parts)
                checks.same_canaries(request.shadow, cut.dataset, request.victim, others=others.dataset)
            for attack in request.attacks:
                checks.has_pool(attack, cut)
        victim, shadows = self.victim(request.victim, seed), self.shadows(request.shadow, seed)
        checks.same_labels(victim.scenes.cut, request.victim)
        return [self.measured(victim, shadows, recipe, cell=cell) for cell in request.cells()]

    # The models.

    @once
    def victim(self, name: str, seed: int) -> Model:
        """The segmenter under attack: an existing one behind its door, or one that mia-seg trains."""
        recipe, cut = self._victim(name, seed)
        if isinstance(recipe, DoorRecipe):
            return ExistingModel(name, recipe, seed, cut, self.sources.behind(door_of(recipe)))
        return self._model(name, recipe, cut, seed=seed, weight_seed=seed, role="victims")

    def trained_victim(self, name: str, seed: int) -> TrainedModel:
        """A victim whose weights are needed. Raises MiaSegError for one behind a door."""
        recipes.load_trained(name)
        model = self.victim(name, seed)
        assert isinstance(model, TrainedModel)
        return model

    @once
    def shadows(self, name: str, seed: int, models: int | None = None) -> tuple[TrainedModel, ...]:
        """The attacker's own segmenters: one, or a whole fleet on halves of the audited scenes.

        models: how many, of a fleet; None: as many as its recipe says.
        """
        recipe, cut = self._shadow(name, seed)
        adversary = recipe.adversary
        divided: list[Divided] = [cut]
        whole = cut.with_twins_together()  # the attacker's models train on some of these scenes each
        if isinstance(adversary, Fleet):
            divided = [whole.with_parts(half) for half in halves(whole.parts, models or adversary.models, seed)]
        elif isinstance(adversary, A1):
            divided = [self._chosen(name, adversary, whole, seed=seed)]
        return tuple(
            self._model(
                f"{name}-{k:02d}" if k else name, recipe, scenes,
                seed=seed, weight_seed=SHADOW_SEEDS * (k + 1) + seed, role="shadows",
            )
            for k, scenes in enumerate(divided)
        )  # fmt: skip

    @once
    def generator(self, model: TrainedModel) -> TrainedGenerator:
        """The generator of a model's features."""
        return TrainedGenerator(model, model.recipe)

    def _model(
        self, name: str, recipe: Recipe, scenes: Divided, *, seed: int, weight_seed: int, role: Role
    ) -> TrainedModel:
        start = self.trained_victim(recipe.train.start, START_SEED) if recipe.train.start else None
        features, files = self._features(name, recipe, seed), self.sources.pretrained(recipe)
        aids = self._aids(name, recipe, scenes, seed=seed, weight_seed=weight_seed, role=role)
        model = TrainedModel(name, recipe, seed, weight_seed, scenes, role, start, features, files, aids)
        _check_unseen(model)
        return model

    def _aids(
        self, name: str, recipe: Recipe, scenes: Divided, *, seed: int, weight_seed: int, role: Role
    ) -> Accompanied | None:
        """What the objective reads beside the members: teachers, plainly trained on some of them, and other scenes."""
        objective = plugins.from_section(objectives, Objective, recipe.objective, where="[objective]")
        if not isinstance(scenes, Cut):
            checks.needs_no_aid(name, objective)
            return None
        lists = objective.taught_by(scenes.parts.members, scenes.parts.group, seed=weight_seed)
        plain = recipe.model_copy(update={"objective": dict(recipes.SUPERVISED)})
        teachers = tuple(
            self._model(
                f"{name}-teacher-{k:02d}", plain, scenes.with_parts(trained(scenes.parts, members)), seed=seed,
                weight_seed=weight_seed + TEACHER_SEEDS * (k + 1), role=role,
            )
            for k, members in enumerate(lists)
        )  # fmt: skip
        reads = objective.reference()
        reference = self.sources.left(scenes, name, rule=recipe.split) if reads else None
        return Accompanied(teachers, reference, reads == "instead") if teachers or reference else None

    def _features(self, name: str, recipe: Recipe, seed: int) -> SyntheticFeatures | None:
        """The victim whose weights and generator a training with synthetic features begins with."""
        settings = recipe.synthetic if isinstance(recipe, VictimRecipe) else None
        if settings is None:
            return None
        base, cut = self._victim(settings.of, seed)
        checks.same_members(name, self.sources.cut(recipe, seed).parts, settings.of, others=cut.parts)
        more = None if settings.masks == "members" else self.sources.more(cut, settings.of, settings, rule=base.split)
        return SyntheticFeatures(settings, self.generator(self.trained_victim(settings.of, seed)), more)

    def _chosen(self, name: str, adversary: A1, cut: Cut, *, seed: int) -> Divided:
        """Adversary A1's members out of its pool."""
        check_room(name, cut.parts, adversary)
        self._check_apart(f"The pool of shadow '{name}'", cut, cut.parts.pool, victim=(adversary.victim, seed))
        if isinstance(adversary.members, str):
            return cut.with_parts(listed(cut.parts, self.data_root, adversary.members))
        if adversary.choose == "random":
            return cut.with_parts(drawn(cut.parts, adversary.members, seed))
        victim = self.victim(adversary.victim, seed)
        return ShadowMembers(
            name, cut, adversary.members, self.answers(victim, cut, "pool", defense=UNDEFENDED, stride=adversary.stride)
        )

    # What is asked and measured.

    def measured(self, victim: Model, shadows: Sequence[TrainedModel], recipe: ShadowRecipe, *, cell: Cell) -> Measured:
        """Fit on the shadows' answers, score the victim's, join the victim's membership, measure."""
        attacker = self.fitted(victim, shadows, recipe, cell=cell if cell.adaptive else cell.unaware(UNDEFENDED))
        told = self.seen(victim, victim, shadows[0], recipe=recipe, cell=cell)
        before = self._undefended(victim, cell, recipe.adversary.stride)
        return Measured(cell, victim, recipe.adversary, attacker, told, BlindControl(victim), before)

    def fitted(
        self, victim: Model, shadows: Sequence[TrainedModel], recipe: ShadowRecipe, *, cell: Cell
    ) -> FittedAttacker:
        """Fit on what the shadows answer in this cell."""
        attacking = tuple(shadows) if cell.attack.component.needs_fleet else (shadows[0],)
        own = tuple(self.seen(shadow, victim, shadows[0], recipe=recipe, cell=cell) for shadow in attacking)
        return FittedAttacker(cell.attack.called, cell.attack.component, attacking, own)

    def rehearsed(self, request: Request, seed: int, models: int | None = None) -> list[Rehearsed]:
        """Attacks on a fleet whose models are the victim in turn; no other victim is trained.

        Behind a defense all models answer so, the victim and those that it is compared with.
        models: how many models the fleet is to have; None: as many as its recipe says.
        """
        assert request.shadow is not None
        recipe, cut = self._shadow(request.shadow, seed)
        for attack in request.attacks:
            checks.has_pool(attack, cut)
        shadows = self.shadows(request.shadow, seed, models)
        known = [cell for cell in request.cells() if cell.adaptive or cell.defense == UNDEFENDED]
        return [Rehearsed(cell.defense.label, self.fitted(shadows[0], shadows, recipe, cell=cell)) for cell in known]

    def screened(self, victim: Model, cell: Cell) -> Measured:
        """Score the victim's answers by themselves, join its membership, measure."""
        attack, adversary = cell.attack, Screen()
        checks.has_pool(attack, victim.scenes.cut)
        checks.has_labels(attack, victim.scenes.cut)
        told = self._seen(victim, cell, stride=adversary.stride, population=(victim.scenes, "pool"))
        assert isinstance(attack.component, StatisticAttack), "others learn from shadows: refused before"
        attacker = CrossFitted(attack.called, attack.component, victim, told)
        before = self._undefended(victim, cell, adversary.stride)
        return Measured(cell, victim, adversary, attacker, told, BlindControl(victim), before)

    def _undefended(self, victim: Model, cell: Cell, stride: int) -> AskedModel | None:
        """What a defended victim answers without its defense: what the defense costs is told beside it."""
        if cell.defense == UNDEFENDED:
            return None
        return self.answers(victim, victim.scenes, "audited", defense=UNDEFENDED, stride=stride)

    def seen(self, model: Model, victim: Model, shadow: TrainedModel, *, recipe: ShadowRecipe, cell: Cell) -> Seen:
        """All that an attack sees of a model; adversary A2 sees the classes that both sides show."""
        stride = recipe.adversary.stride
        classes = self.common_classes(victim, shadow, stride) if isinstance(recipe.adversary, A2) else None
        population = self._population(model, victim, shadow, recipe=recipe)
        return self._seen(model, cell, stride=stride, population=population, classes=classes)

    def _seen(
        self, model: Model, cell: Cell, *, stride: int, population: tuple[Divided, Part],
        classes: CommonClasses | None = None,
    ) -> Seen:  # fmt: skip
        method = cell.attack.component
        undone = cell.adaptive and cell.defense.component.undone
        defense = UNDEFENDED if undone else cell.defense

        def ask(scenes: Divided, part: Part, transform: str | None = None) -> AskedModel:
            return self.answers(
                model, scenes, part, defense=defense, stride=stride, repeats=cell.repeats, transform=transform,
                own=method.against_own and transform is not None,
            )  # fmt: skip

        return Seen(
            ask(model.scenes, "audited"),
            {transform: ask(model.scenes, "audited", transform) for transform in method.transforms},
            ask(*population) if method.needs_population else None,
            Difficulty(str(model.recipe.data["name"]), model.scenes) if method.needs_difficulty else None,
            classes,
        )

    def _population(
        self, model: Model, victim: Model, shadow: TrainedModel, *, recipe: ShadowRecipe
    ) -> tuple[Divided, Part]:
        """Scenes like the audited ones that a model never trained on: of A1's one shadow, which has the pool, those."""
        if isinstance(recipe.adversary, A1) and model is shadow:
            return victim.scenes, "audited"
        if isinstance(recipe.adversary, Fleet) and model is victim:  # whose scenes may be larger than its shadows'
            return victim.scenes, "pool"
        return self._shadow(shadow.recipe_name, shadow.seed)[1], "pool"

    @once
    def answers(
        self, model: Model, scenes: Divided, part: Part, *, defense: Selected[Defense], stride: int,
        repeats: int = 1, transform: str | None = None, own: bool = False,
    ) -> AskedModel:  # fmt: skip
        """What a model answers."""
        generator = None
        if getattr(defense.component, "needs_generator", False):
            assert isinstance(model, TrainedModel), "a door has no network: refused before"
            generator = self.generator(model)
        return AskedModel(model, scenes, part, defense, stride, generator, repeats, transform, own)

    @once
    def common_classes(self, victim: Model, shadow: TrainedModel, stride: int) -> CommonClasses:
        """The classes that both sides show."""
        return CommonClasses(
            *(self.answers(m, m.scenes, "audited", defense=UNDEFENDED, stride=stride) for m in (victim, shadow))
        )

    # What all this begins with.

    @once
    def _victim(self, name: str, seed: int) -> tuple[VictimRecipe | DoorRecipe, Cut]:
        recipe = self.sources.recipe(checks.victim_of(name))
        return recipe, self.sources.cut(recipe, seed, f"victim '{name}'")

    @once
    def _shadow(self, name: str, seed: int) -> tuple[ShadowRecipe, Cut]:
        recipe = self.sources.recipe(checks.shadow_of(name))
        return recipe, self.sources.cut(recipe, seed, f"shadow '{name}'")

    def _check_apart(self, what: str, cut: Cut, ids: Sequence[str], *, victim: tuple[str, int]) -> None:
        """None of these scenes shows what a victim's do."""
        _, theirs = self._victim(*victim)
        names = f"{what} and the scenes of victim '{victim[0]}'"
        check_apart(cut.pictures_of(ids), theirs.pictures_of(theirs.parts.audited), names)


def _check_unseen(model: TrainedModel) -> None:
    """No non-member is a member by way of what a training begins with or reads; of what is proven, no scene at all."""
    name, scenes, cut = model.recipe_name, model.scenes, model.scenes.cut
    # Members that are chosen by asking leave some of the pool, whichever.
    apart = {f"Non-members of '{name}'": scenes.parts.nonmembers if isinstance(scenes, Cut) else cut.parts.pool}
    ways = list(model.beside())
    if "update" in model.special and ways:
        limits.check_update(model)  # what it does not go with would be told by its scenes alone
        apart[f"Scenes of '{name}', of which [update] proves something,"] = cut.parts.audited or cut.parts.pool
    for way, others in ways:
        for what, ids in apart.items():
            names = f"{what} and the scenes behind its weights ({' -> '.join(way)})"
            fix = f"Give '{way[-2]}' another [train] start, [synthetic] of or [objective], of other scenes"
            check_apart(cut.pictures_of(ids), others.pictures_of(others.parts.members), names, fix=fix)
