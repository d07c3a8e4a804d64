"""The inputs of figures of scenes, from the answers and attackers in the store.

There are three figures: the maps of an attacker that was trained on undefended answers, behind each defense (thesis
figure 7.9); the victim's loss beside that of shadows that were not trained on the scene; and the victim's predictions
behind each defense (figure 7.10).
"""

import io
import json
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from lightning_fabric import Fabric
from PIL import Image
from rich.markup import escape

from mia_seg import recipes
from mia_seg.attacks._readings import READINGS, load_readings
from mia_seg.attacks.patch_resnet50 import FLOOR, PatchAttacker, PatchResNet50, drawn, represent
from mia_seg.data import Dataset, Scenes
from mia_seg.errors import MiaSegError
from mia_seg.evaluate.results import Result
from mia_seg.metrics.segmentation import utility
from mia_seg.progress import console, say, track
from mia_seg.query import answers
from mia_seg.query.answers import Answers
from mia_seg.recipes.splits import Partition
from mia_seg.report import deletion
from mia_seg.report.budgets import once
from mia_seg.report.cam import CamInput, activation_maps, scorer
from mia_seg.report.cells import by_strength, defense_name, enriched
from mia_seg.report.deletion import DeletionInput
from mia_seg.report.exposed import scene_ids
from mia_seg.report.galleries import LossInput, SceneInputs, SegmentationInput
from mia_seg.report.verdicts import verdict
from mia_seg.store import MADE, Store, reading
from mia_seg.store.memo import Memo
from mia_seg.texts import printable

SCENES = 3
EACH = 2  # scenes on each side in the figures of losses and of predictions
DELETED = 10  # scenes on each side in the deletion test
UNDEFENDED = "none"
SMALL, WIDTH = 12, 128  # the number of a victim's thumbnails, and their width in pixels


def scene_inputs(
    results: Sequence[Result], store: Store, data_root: Path | None, *, thumbnails: bool = False
) -> dict[str, SceneInputs]:
    """The inputs of each victim's figures of scenes, by victim; those of predictions only with `thumbnails`."""
    at = store, data_root
    maps, losses = attacker_inputs(results, *at), loss_inputs(results, *at)
    predicted = segmentation_inputs(results, *at) if thumbnails else {}
    return {
        victim: SceneInputs(
            cam=mine[0], deletion=mine[1], losses=losses.get(victim), segmentation=predicted.get(victim)
        )
        for victim in {*maps, *losses, *predicted}
        for mine in [maps.get(victim, (None, None))]
    }


def attacker_inputs(
    results: Sequence[Result], store: Store, data_root: Path | None
) -> dict[str, tuple[CamInput, DeletionInput]]:
    """By victim, the inputs of the attacker's maps and of the deletion test.

    Victims are left out, with a line on the screen, if the store or the images are incomplete. Their old figures stay.
    """
    found = {}
    for victim in sorted({r.victim for r in results}):
        shown = _shown([r for r in results if r.victim == victim])
        folders = [folder for r in shown for folder in _folders(r, store)]
        if shown and _whole("CAM", victim, folders, data_root=data_root):
            found[victim] = _cam_input(shown, store, data_root), _deletion_input(shown, store, data_root)
    return found


def loss_inputs(results: Sequence[Result], store: Store, data_root: Path | None) -> dict[str, LossInput]:
    """By victim, the input of the figure of losses; with the shadows' losses if the store has a fleet's answers."""
    found = {}
    for victim in sorted({r.victim for r in results}):
        asked = _undefended([r for r in results if r.victim == victim])
        if asked and _whole("loss", victim, [_answers(asked[0], store)], data_root=data_root):
            found[victim] = _loss_input(asked, store, data_root)
    return found


def segmentation_inputs(
    results: Sequence[Result], store: Store, data_root: Path | None
) -> dict[str, SegmentationInput]:
    """By victim, the input of the figure of predictions, from its answers behind each defense."""
    found = {}
    for victim in sorted({r.victim for r in results}):
        asked = _once_a_defense([r for r in results if r.victim == victim])
        folders = [_answers(r, store) for r in asked]
        if asked and _whole("segmentation", victim, folders, data_root=data_root):
            found[victim] = _segmentation_input(asked, store, data_root)
    return found


def thumbnails(results: Sequence[Result], data_root: Path | None) -> dict[str, dict[str, str]]:
    """By victim and id, the most exposed scenes as small JPEGs in data URIs.

    Victims are left out, with a line on the screen, if their images are not on this machine or no scene is exposed.
    """
    found = {}
    for victim in sorted({r.victim for r in results}):
        best = verdict(enriched(once([r for r in results if r.victim == victim]))).best
        ids = scene_ids(best)[:SMALL] if best else []
        if ids and _at_hand(victim, data_root):
            dataset = recipes.load_victim(victim).dataset()
            found[victim] = {scene_id: _small(dataset.image(data_root, scene_id)) for scene_id in ids}
        else:
            say(f"    left out the thumbnails of {victim}: its images are not on this machine, or no scene is exposed")
    return found


def _small(image_HWC: np.ndarray) -> str:
    image, file = Image.fromarray(image_HWC), io.BytesIO()
    image.thumbnail((WIDTH, WIDTH))
    image.save(file, "JPEG", quality=75)
    return f"data:image/jpeg;base64,{b64encode(file.getvalue()).decode()}"


def _shown(results: Sequence[Result]) -> list[Result]:
    """The results by the patch attack that sees posteriors and labels and ignores defenses, of one seed and shadow."""
    patch = [r for r in results if (r.attack, r.representation, r.adaptive) == ("patch_resnet50", "concat", False)]
    first = min(((r.seed, r.choose != "confidence", r.shadow) for r in patch), default=None)
    return [r for r in patch if (r.seed, r.choose != "confidence", r.shadow) == first]


def _undefended(results: Sequence[Result]) -> list[Result]:
    """The results on one seed's undefended model through one shadow: with a fleet, or by the image loss."""
    asked = [
        r
        for r in results
        if (r.defense, r.repeats) == (UNDEFENDED, 1)
        and ((r.attack, r.representation) == ("image_loss", "") or r.choose == "halves")
    ]
    first = min(((r.seed, r.choose != "halves", r.shadow) for r in asked), default=None)
    return [r for r in asked if (r.seed, r.choose != "halves", r.shadow) == first]


def _once_a_defense(results: Sequence[Result]) -> list[Result]:
    """For each defense in the first seed, one result whose answers are those of the defense itself.

    Results of adaptive attackers are left out, because such an attacker may undo the defense. Results with the fewest
    queries a scene are preferred, because answers to several queries are averaged.
    """
    seed = min((r.seed for r in results), default=0)
    order = sorted((r for r in results if r.seed == seed and not r.adaptive), key=lambda r: (r.repeats, r.shadow))
    return list({r.defense: r for r in reversed(order)}.values())


def _folders(result: Result, store: Store) -> tuple[Path, Path]:
    """The folders of the attacker and of the victim's answers in the store."""
    attacker = next(store.root.glob(f"attackers/[!.]*-{result.digests.attacker}"), Path("missing"))
    return attacker, _answers(result, store)


def _answers(result: Result, store: Store) -> Path:
    return next(store.root.glob(f"answers/[!.]*-{result.digests.victim_answers}"), Path("missing"))


def _whole(what: str, victim: str, folders: list[Path], *, data_root: Path | None) -> bool:
    """Whether all inputs of a figure are on this machine; if not, a line on the screen says so."""
    whole = all(folder.is_dir() for folder in folders) and _at_hand(victim, data_root)
    if not whole:
        shown = escape(printable(victim))
        console.print(f"[dim]    kept[/] the {what} figure of {shown}: its answers or images are not on this machine")
    return whole


def _at_hand(victim: str, data_root: Path | None) -> bool:
    if victim not in recipes.names("victim"):
        return False
    try:
        return bool(recipes.load_victim(victim).dataset().ids(data_root))
    except MiaSegError:
        return False


def _as_attacked(seen: Answers, result: Result) -> Answers:
    """The answers as the attacker sees them: adversary A2 uses only the classes that both sides have."""
    if result.adversary == "A1":
        return seen
    names = recipes.load_victim(result.victim).dataset().classes()
    return seen.only([names.index(name) for name in result.classes.both])


def _cam_input(shown: Sequence[Result], store: Store, data_root: Path | None) -> CamInput:
    settings = recipes.load_victim(shown[0].victim)
    seed = shown[0].seed
    dataset, parts = settings.cut(data_root, seed)
    scored = answers.load(_folders(shown[0], store)[1]).ids  # scenes without a label have no answer
    members = parts.only(scored).members
    ids = sorted(np.random.default_rng(seed).choice(members, SCENES, replace=False).tolist())
    scenes = list(Scenes(dataset, data_root, ids))
    maps, scores = {}, {}
    for result in shown:
        attacker, seen = _at_work(result, ids, store)
        maps[result.defense] = activation_maps(attacker, seen)
        scores[result.defense] = attacker.score(seen, seed).image_N.tolist()
    images, labels = [s.image_HWC for s in scenes], [s.labels_HW for s in scenes]
    return CamInput(ids, images, labels, maps, scores, classes=dataset.classes())


def _at_work(result: Result, ids: list[str], store: Store) -> tuple[PatchAttacker, Answers]:
    """The attacker of a result, and the answers to some scenes as it sees them."""
    folder, asked = _folders(result, store)
    with reading(folder):
        attacker = PatchResNet50(**result.settings).load(folder, Fabric(accelerator="cpu", devices=1))
    with reading(asked):
        return attacker, _as_attacked(answers.load(asked).take(ids), result)


def _deletion_input(shown: Sequence[Result], store: Store, data_root: Path | None) -> DeletionInput:
    """The input of the deletion test, for the attacker on the undefended model, or else on the weakest defense.

    The store keeps what was measured.
    """
    result = min(shown, key=lambda r: by_strength(r.defense))
    ids, parts, _ = _of_either_side(result, store, data_root, each=DELETED)
    key = f"{result.digests.attacker} {result.digests.victim_answers} {result.seed} {deletion.VERSION}"
    (found,) = Memo(store.root / "deletions.json").of([key], lambda _: _deleted(result, ids, store), "")
    groups = [parts.group[scene_id] for scene_id in ids]
    note = f"{defense_name(result.defense)}, seed {result.seed}, {len(ids)} scenes in {len(set(groups))} groups"
    return DeletionInput(np.array(found), groups, note)


def _deleted(result: Result, ids: list[str], store: Store) -> list[list[list[float]]]:
    """The changes of the score by deletion for a random patch of each scene, [scenes, orders, shares]."""
    attacker, seen = _at_work(result, ids, store)
    draw = np.random.default_rng(result.seed)
    patches = [seen.cut(row, *drawn(shape, attacker.settings.patch, draw)) for row, shape in enumerate(seen.shapes)]
    pairs = zip(patches, activation_maps(attacker, patches), strict=True)
    return [
        deletion.changes(scorer(attacker, patch), map_HW, draw).tolist()
        for patch, map_HW in track(pairs, "  deleting cells", len(patches))
    ]


def _loss_input(asked: Sequence[Result], store: Store, data_root: Path | None) -> LossInput:
    ids, parts, dataset = _of_either_side(asked[0], store, data_root, each=EACH)
    scenes = list(Scenes(dataset, data_root, ids))
    return LossInput(
        ids,
        [scene_id in parts.members for scene_id in ids],
        [s.image_HWC for s in scenes],
        [s.labels_HW for s in scenes],
        _losses(_answers(asked[0], store), ids),
        _outside(asked, ids, store),
        dataset.classes(),
    )


def _segmentation_input(asked: Sequence[Result], store: Store, data_root: Path | None) -> SegmentationInput:
    ids, parts, dataset = _of_either_side(asked[0], store, data_root, each=EACH)
    scenes = list(Scenes(dataset, data_root, ids))
    predicted, quality = {}, {}
    for result in asked:
        folder = _answers(result, store)
        with reading(folder):
            seen = answers.load(folder).take(ids)
        predicted[result.defense] = [answer.posterior_KHW.argmax(0).astype(np.uint8) for answer in seen]
        quality[result.defense] = [_quality(one) for one in seen.statistics.confusion_NKK]
    return SegmentationInput(
        ids,
        [scene_id in parts.members for scene_id in ids],
        [s.image_HWC for s in scenes],
        [s.labels_HW for s in scenes],
        dataset.classes(),
        predicted,
        quality,
        f"Seed {asked[0].seed}. Below predictions: pixel accuracy / mIoU of the scene.",
    )


def _quality(confusion_KK: np.ndarray) -> tuple[float, float] | None:
    """The pixel accuracy and the mIoU of a scene; None without a labelled pixel."""
    if not confusion_KK.any():
        return None
    found = utility(confusion_KK)
    return found["pix_acc"], found["miou"]


def _of_either_side(
    result: Result, store: Store, data_root: Path | None, *, each: int
) -> tuple[list[str], Partition, Dataset]:
    """The ids of `each` members and as many non-members, drawn by the seed.

    Also the partition of all scored scenes, and their data set.
    """
    scored = answers.load(_answers(result, store)).ids  # scenes without a label have no answer
    dataset, parts = recipes.load_victim(result.victim).cut(data_root, result.seed)
    parts, draw = parts.only(scored), np.random.default_rng(result.seed)
    ids = [str(i) for side in (parts.members, parts.nonmembers) for i in sorted(draw.permutation(side)[:each])]
    return ids, parts, dataset


def _losses(folder: Path, ids: list[str]) -> list[np.ndarray]:
    """Maps [h, w] of the loss, -log p of the label; 0 where ignored."""
    with reading(folder):
        seen = answers.load(folder).take(ids)
    return [-np.log(FLOOR) * represent(answer, "loss")[0].numpy() for answer in seen]


def _outside(asked: Sequence[Result], ids: list[str], store: Store) -> list[np.ndarray] | None:
    """For each scene, the mean loss map over the fleet's shadows that were not trained on it.

    None if the store lacks a fleet with all its answers.
    """
    for result in asked:
        attacker = next(store.root.glob(f"attackers/[!.]*-{result.digests.attacker}/{READINGS}"), None)
        if attacker is None:
            continue
        with reading(attacker.parent):
            fleet = load_readings(attacker.parent)
        folders = _answers_of_fleet(attacker.parent, store)
        if folders:
            left_out = [~fleet.members_MN[:, fleet.ids.index(scene_id)] for scene_id in ids]
            return [
                np.mean([_losses(folders[m], [scene_id])[0] for m in np.flatnonzero(out)], 0)
                for scene_id, out in zip(ids, left_out, strict=True)
            ]
    return None


def _answers_of_fleet(attacker: Path, store: Store) -> list[Path] | None:
    """The folders of the shadows' answers to the audited scenes, in the fleet's order; None if one is missing."""
    with reading(attacker):
        made = json.loads((attacker / MADE).read_text(encoding="utf-8"))
        digests = [seen["audited"] for seen in made["inputs"]["seen"]]
    folders = [next(store.root.glob(f"answers/[!.]*-{found}"), None) for found in digests]
    return [folder for folder in folders if folder] if all(folders) else None
