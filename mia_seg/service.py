"""What a provider runs: the trained network and, where a defense wants one, the generator of its features."""

from pathlib import Path

from lightning_fabric import Fabric

from mia_seg import gan, train
from mia_seg.audit import Model
from mia_seg.data import Scenes
from mia_seg.generators import Paired
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
        Scenes(dataset, data_root, ids, room) for ids in gan.set_aside(parts.members, parts.unit, share, model.seed)
    )
    network, title = network_of(model), f"generator of {model.name}, seed {model.seed}"
    fabric.to_device(network)
    with artefact.make() as folder:
        gan.train(model.recipe, network, known, aside, _seed(model), folder, title, model.artefact.digest)


def _seed(model: Model) -> int:
    """The seed of the segmenter's own weights: no attacker knows those that its victim's generator started from."""
    return int(model.artefact.parts["seed"])


def _classes(model: Model) -> int:
    return len(model.recipe.dataset().classes())
