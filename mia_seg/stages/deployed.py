"""What a provider runs: the trained network and, where a defense wants one, the generator of its features."""

from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from mia_seg import data, gan, plugins, train
from mia_seg.data import Dataset, Scenes
from mia_seg.errors import MiaSegError
from mia_seg.evaluate.audit import Model
from mia_seg.gan.synthetic import Masks, Source
from mia_seg.generators import Paired
from mia_seg.recipes import Synthetic
from mia_seg.segmenters import Network
from mia_seg.store import Artefact, Store


def network_of(model: Model) -> Network:
    """The trained network."""
    return train.load_network(model.recipe, _classes(model), model.artefact.path / train.WEIGHTS)


def paired(model: Model, generator: Artefact) -> Paired:
    """The trained network with its generator; what the service draws is keyed by the generator's digest."""
    network, weights = network_of(model), generator.path / gan.WEIGHTS
    drawn = gan.load(model.recipe, network, _classes(model), weights, model.artefact.digest)
    return Paired(network, drawn, generator.digest)


def place_of_generator(model: Model, store: Store) -> Artefact:
    """Where the store keeps the generator of a model, whether or not it was trained."""
    made = {
        "model": model.artefact.digest, "recipe": model.recipe.digest("generator", "train_generator"),
        "seed": _seed(model), "version": gan.VERSION,
    }  # fmt: skip
    return store.artefact("generators", f"{model.name}.s{model.seed}", made)


def train_generator(model: Model, artefact: Artefact, data_root: Path | None, fabric: Fabric, room: int) -> None:
    """Train a model's generator on its members, a share of them kept aside; the rest of its scenes stay unseen.

    room: bytes of scenes that stay in memory.
    """
    parts, dataset = model.parts, model.recipe.dataset()
    share = model.recipe.train_generator.held_out
    known, aside = (
        Scenes(dataset, data_root, ids, room) for ids in gan.set_aside(parts.members, parts.group, share, model.seed)
    )
    network, title = network_of(model), f"generator of {model.name}, seed {model.seed}"
    fabric.to_device(network)
    with artefact.make() as folder:
        gan.train(model.recipe, network, known, aside, _seed(model), folder, title, model.artefact.digest)


def score_of(model: Model, generator: Artefact) -> dict[str, Any]:
    """How well the segmenter reads a generator's features, epoch by epoch, and what reads out of real ones."""
    rows = gan.read_log(generator.path, model.recipe.train_generator.epochs)
    share = model.recipe.train_generator.held_out
    known, aside = gan.set_aside(model.parts.members, model.parts.group, share, model.seed)
    real = {key.removeprefix("real_"): value for key, value in rows[-1].items() if key.startswith("real_")}
    epochs = [{key: row[key] for key in ("epoch", *real)} for row in rows]
    return {
        "victim": model.name, "seed": model.seed, "generator": model.recipe.generator,
        "settings": model.recipe.train_generator.model_dump(mode="json"),
        "scenes": len(known), "held_out": len(aside),
        "digests": {"victim": model.artefact.digest, "generator": generator.digest},
        "real": real, "epochs": epochs,
    }  # fmt: skip


def source_of(base: Model, generator: Artefact, settings: Synthetic, data_root: Path | None, room: int) -> Source:
    """Synthetic features of `base` to train another segmenter's decoder with.

    Layouts beyond its members' come from scenes in no part of its split, or from another data set: those that an audit
    asks about would be half members by their labels.
    """
    recipe, members = base.recipe, Scenes(base.recipe.dataset(), data_root, base.parts.members, room)
    others = None if settings.masks == "members" else _others(base, settings, data_root)
    crops = gan.crops_of(recipe, members, base.seed)
    more = None if others is None else gan.crops_of(recipe, others, base.seed)
    return Source(settings, paired(base, generator), Masks(crops, more, settings.masks == "pseudo"))


def _others(base: Model, settings: Synthetic, data_root: Path | None) -> Scenes:
    dataset, parts = base.recipe.dataset(), base.parts
    # Of another data set too: [synthetic.data] may name the same one, resized, and then ids are the same scenes.
    used = {*parts.members, *parts.nonmembers, *parts.pool}
    if settings.data is not None:
        dataset = plugins.from_section(data, Dataset, settings.data, "[synthetic.data]")
    if dataset.classes() != base.recipe.dataset().classes():
        raise MiaSegError(
            f"[synthetic.data] has other classes than '{base.name}'. Merge its labels into the same classes."
        )
    ids = [i for i in dataset.ids(data_root) if i not in used]
    if not ids:
        raise MiaSegError(
            f"[synthetic] masks = '{settings.masks}': every scene is in a part of '{base.name}'s split. Leave some "
            f"over in [split], name another data set in [synthetic.data], or use masks = 'members'."
        )
    return Scenes(dataset, data_root, ids)


def _seed(model: Model) -> int:
    """The seed of the segmenter's own weights: no attacker knows those that its victim's generator started from."""
    return int(model.artefact.parts["seed"])


def _classes(model: Model) -> int:
    return len(model.recipe.dataset().classes())
