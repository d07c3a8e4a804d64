"""Results: an attacker's scores, joined with the victim's membership and measured."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mia_seg.data._twins import NEAR
from mia_seg.errors import MiaSegError
from mia_seg.evaluate import results
from mia_seg.evaluate.audit import (
    Cell,
    Subject,
    canaries,
    classes_of,
    data_name,
    many_shadows,
    measured,
    scores_of,
    tuned,
    utility_change,
    versions,
)
from mia_seg.evaluate.controls import controls
from mia_seg.evaluate.results import Result, slug
from mia_seg.evaluate.scores import beside
from mia_seg.recipes.adversaries import A1, A2, Fleet, Screen
from mia_seg.recipes.splits import Partition
from mia_seg.stages import Stage
from mia_seg.stages.answers import AskedModel
from mia_seg.stages.attackers import FittedAttacker, Seen
from mia_seg.stages.blind import BlindControl
from mia_seg.stages.models import Model, TrainedModel
from mia_seg.stages.scenes import Cut
from mia_seg.stages.screen import CrossFitted
from mia_seg.stages.shadow_members import ShadowMembers
from mia_seg.store import Draft, Store, digest, replace, write_json
from mia_seg.workspace import Workspace

VERSION = 2
FILE = "result.json"
PAIRS = 10  # near twins that a result names


@dataclass(frozen=True, eq=False)
class Measured(Stage[Result]):
    """The result of one attack on one defense. seen: what the attacker sees of the victim.

    adversary: what the attacker knows, and how it chose its shadow's members. undefended: answers of a defended victim
    without its defense.
    """

    kind = "results"
    device = True

    cell: Cell
    victim: Model
    adversary: A1 | Fleet | A2 | Screen
    attacker: FittedAttacker | CrossFitted
    seen: Seen
    blind: BlindControl
    undefended: AskedModel | None = None

    @property
    def shadow(self) -> Model:
        """The shadow, or the first one of a fleet."""
        return self.attacker.shadows[0]

    @property
    def name(self) -> str:
        kind = ".adaptive" if self.cell.adaptive else ""
        return f"{self.victim.name}.{slug(self.cell.defense.label)}.{slug(self.attacker.called)}{kind}"

    @property
    def title(self) -> str:
        kind = ", adaptive" if self.cell.adaptive else ""
        return f"{self.victim.title}: {self.cell.defense.label}, {self.attacker.called}{kind}"

    def inputs(self) -> dict[str, Any]:
        given = {"attacker": self.attacker, "seen": self.seen.inputs(), "blind": self.blind}
        known = {"membership": self.victim.scenes.given("membership"), "split": self.victim.recipe.split.rule}
        before = {"undefended": self.undefended} if self.undefended else {}
        return given | known | before | {"told": self._told(), "version": VERSION}

    def make(self, draft: Draft, workspace: Workspace) -> None:
        store, method = workspace.store, self.cell.attack.component
        attacker, answers = self.attacker.attacker(workspace), self.seen.value(store)
        learnt = self.attacker.seen[0]
        victim = self._subject(self.victim, answers.ids, store)
        shadow = self._subject(self.shadow, learnt.value(store).ids, store)
        every = attacker.score(answers, victim.seed)
        scores = every.take(_rows(answers.ids, victim.parts))
        mine, theirs = (
            side.audited.value(store).take(of.parts.audited) for side, of in ((self.seen, victim), (learnt, shadow))
        )
        sides = {"victim_answers": mine, "shadow_answers": theirs}
        found = measured(scores, attacker, victim, shadow=shadow, **sides) | {"tuned": tuned(method, attacker)}
        if method.needs_fleet:
            found |= many_shadows(scores, victim, answers.take(victim.parts.audited))
        found |= {"controls": controls(scores.image_N, victim.known(), self.blind.value(store), seed=victim.seed)}
        found |= {"classes": classes_of(mine, theirs, self.victim.dataset.classes())}
        found |= {"left_out": self._left_out(answers.ids, store)} | self._canaries(every.image_N, answers.ids, store)
        if self.undefended is not None and not self.victim.scenes.cut.unlabelled:
            before = self.undefended.value(store).take(victim.parts.audited)
            found |= {"utility_change": utility_change(mine, before, victim.known(), seed=victim.seed)}
        settings = {"settings": method.model_dump(mode="json"), "versions": versions()}
        write_json(draft.folder / FILE, Result.model_validate(self._told() | settings | found).dump())
        text = scores_of(scores, victim).text()
        replace(beside(draft.folder / FILE), text.encode())

    def load(self, folder: Path) -> Result:
        return results.read(folder / FILE)

    @property
    def queries(self) -> int:
        """The number of scenes that the attacker asked the victim about, also to choose its shadow's members."""
        chosen = self.shadow.scenes
        choosing = _count(chosen.answers) if isinstance(chosen, ShadowMembers) else 0
        return choosing + sum(asked.questions * _count(asked) for asked in self.seen.asked)

    def _told(self) -> dict[str, Any]:
        """What is known of a result before it is measured."""
        cell, adversary = self.cell, self.adversary
        sides = {"victim": self.victim.recipe, "shadow": self.shadow.recipe}
        return {
            "victim": self.victim.recipe_name, "shadow": self.attacker.shadow_name, "seed": self.victim.seed,
            "dataset": data_name(sides["victim"]), "shadow_dataset": data_name(sides["shadow"]),
            "adversary": adversary.kind, "choose": adversary.choose, "repeats": cell.repeats, "queries": self.queries,
            "segmenters": {side: recipe.architecture for side, recipe in sides.items()},
            "defense": cell.defense.label, "attack": cell.attack.name, "representation": cell.attack.variant,
            "adaptive": cell.adaptive,
            "digests": {
                "victim": self.victim.digest, "shadow": self._shadow_digest, "attacker": self.attacker.digest,
                "victim_answers": self.seen.audited.digest, "shadow_answers": self.attacker.seen[0].audited.digest,
            },
        } | _near_twins(self.victim.scenes.cut) | self._protected()  # fmt: skip

    def _protected(self) -> dict[str, Any]:
        """What is proven of a victim whose training is not the plain one, and whether its attacker trains so too."""
        victim, shadow = self.victim, self.shadow
        if not isinstance(victim, TrainedModel) or not victim.special:
            return {}
        spent = victim.spent()
        proven = {"privacy": asdict(spent)} if spent else {}
        if isinstance(self.adversary, Screen):  # whoever screens trains nothing
            return proven
        alike = isinstance(shadow, TrainedModel) and shadow.special == victim.special
        return proven | {"knows": "training" if alike else "nothing"}

    @property
    def _shadow_digest(self) -> str:
        """Of what was trained; of a fleet, of all its models."""
        models = [model.digest for model in self.attacker.shadows]
        return digest(models) if self.cell.attack.component.needs_fleet else models[0]

    def _subject(self, model: Model, ids: Sequence[str], store: Store) -> Subject:
        """A model with the scenes of its audit that have a score; canaries are audited apart."""
        parts = model.partition(store).only(set(ids) - model.dataset.canaries - model.dataset.companions)
        if not (parts.members and parts.nonmembers):
            lacking = "non-members" if parts.members else "members"
            raise MiaSegError(
                f"None of the {lacking} of '{model.recipe_name}' has a labelled pixel of a class that both sides show. "
                f"Take a shadow whose scenes show what the victim's do."
            )
        return Subject(model.recipe_name, model.recipe, model.seed, parts)

    def _canaries(self, scores_N: np.ndarray, ids: Sequence[str], store: Store) -> dict[str, Any]:
        """The field of a result; absent where there are none."""
        victim = self.victim
        if not victim.dataset.canaries:
            return {}
        parts = victim.partition(store).only(victim.dataset.canaries.intersection(ids))
        of = Subject(victim.recipe_name, victim.recipe, victim.seed, parts)
        return {"canaries": canaries(scores_N[_rows(ids, parts)], of, victim.recipe.split.canary)}

    def _left_out(self, scored: Sequence[str], store: Store) -> dict[str, list[str]]:
        """Scenes of the victim's split that have no score, because the attack sees no labelled pixel of them."""
        asked, earlier = self.victim.partition(store), self.victim.scenes.cut.left_out
        return {
            side: sorted({*getattr(asked, side), *earlier.get(side, ())}.difference(scored))
            for side in ("members", "nonmembers")
        }


def _rows(ids: Sequence[str], parts: Partition) -> np.ndarray:
    """Where the audited scenes of these parts stand among `ids`, in their order."""
    place = {scene_id: k for k, scene_id in enumerate(ids)}
    return np.array([place[scene_id] for scene_id in parts.audited], np.int64)


def _near_twins(cut: Cut) -> dict[str, Any]:
    """The field of a result; absent where no member has a near twin, so that it retires no result of such scenes."""
    found = cut.near_twins
    if not found:
        return {}
    pairs = [{"member": member, "nonmember": other} for member, other in found[:PAIRS]]
    return {"near_twins": {"members": len(found), "of": len(cut.parts.members), "distance": NEAR, "pairs": pairs}}


def _count(asked: AskedModel) -> int:
    """How many scenes a victim is asked about."""
    assert isinstance(asked.scenes, Cut), "a rule cuts a victim's scenes"
    parts = asked.scenes.parts
    return len(parts.pool if asked.part == "pool" else parts.audited)
