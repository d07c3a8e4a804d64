"""Controls: what makes a membership result evidence. They stand in every result, under "controls".

blind: an attacker who sees images and labels but never the model, once a split (`controls.blind`).
shuffle, halves: the attack's own scores under memberships that mean nothing (`controls.nulls`).
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from mia_seg import recipes
from mia_seg.data import Scenes
from mia_seg.evaluate.audit import Model
from mia_seg.evaluate.controls import blind, features, nulls
from mia_seg.metrics import membership
from mia_seg.store import Store, reading, write_json

BLIND = "blind.json"


def controls(scores_N: np.ndarray, victim: Model, store: Store, data_root: Path | None) -> dict[str, Any]:
    """The controls of an attack's scores [N], one for each of `victim.asked`, plain JSON.

    {"blind": ..., "shuffle": ..., "halves": ...} as `blind.blind`, `nulls.shuffled` and `nulls.halves` return them.
    Where the split is confounded, blind also holds `above`: the attack's AUC less the blind attacker's.
    """
    known, split = victim.known(), blind_of(victim, store, data_root)
    if split.get("confounded"):
        split["above"] = membership.auc(scores_N, known.members_N) - split["auc"]
    others = ~known.members_N
    return {
        "blind": split,
        "shuffle": nulls.shuffled(scores_N, known.members_N, known.groups_N, victim.seed),
        "halves": nulls.halves(scores_N[others], known.groups_N[others], victim.seed),
    }


def blind_of(victim: Model, store: Store, data_root: Path | None) -> dict[str, Any]:
    """What the blind attacker achieves on a victim's split: it reads every scene once, then lies in the store."""
    dataset, known = victim.recipe.dataset(), victim.known()
    made = {
        "recipe": victim.recipe.digest("data"), "ids": recipes.digest(victim.asked), "seed": victim.seed,
        "members": recipes.digest(victim.parts.members), "groups": recipes.digest(known.groups_N.tolist()),
        "version": [features.VERSION, blind.VERSION],
    } | dataset.fingerprint()  # fmt: skip
    artefact = store.artefact("controls", f"{victim.name}.s{victim.seed}", made)
    if not artefact.whole:
        scenes = Scenes(dataset, data_root, victim.asked)
        with artefact.make() as folder:
            seen_NF = features.features(scenes, f"  blind control of {victim.name}")
            write_json(folder / BLIND, blind.blind(seen_NF, known.members_N, known.groups_N, victim.seed))
    with reading(artefact.path):
        found: dict[str, Any] = json.loads((artefact.path / BLIND).read_text(encoding="utf-8"))
    return found
