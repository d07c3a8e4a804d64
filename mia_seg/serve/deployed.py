"""A victim that was trained before, with its defense, as a service. Nothing is trained here."""

import hmac
import json
import os
import secrets
import time
from pathlib import Path

from mia_seg import defenses, plugins
from mia_seg.defenses import Defense, NetworkDefense
from mia_seg.errors import MiaSegError
from mia_seg.pipeline import Pipeline
from mia_seg.plugins import Selected, settings_of
from mia_seg.serve import Noise, Service
from mia_seg.stages.answers import AskedModel
from mia_seg.store import Store, writing
from mia_seg.workspace import Workspace

SECRET, BYTES = "serve.secret", 32
WRITTEN = 1.0  # seconds within which another server that starts now has written what it drew


def deployed(name: str, seed: int, workspace: Workspace, *, defense: str, noise: Noise, batch: int = 1) -> Service:
    """The service. Raises MiaSegError if it is not trained, and for batches with a defense inside the network."""
    chosen = plugins.select(defenses, Defense, defense)
    if batch > 1 and isinstance(chosen.component, NetworkDefense):
        raise MiaSegError(
            f"--batch {batch}: defense '{defense}' draws in the forward pass, for each image by itself. Leave --batch "
            f"out, or choose a defense that changes the answer alone, as argmax or gaussian do."
        )
    pipeline = Pipeline(workspace)
    victim = pipeline.trained_victim(name, seed)
    asked = pipeline.answers(victim, victim.scenes, "audited", defense=chosen, stride=1)
    _check_trained(asked, name, workspace.store)
    secret = secret_of(workspace.store)
    version = _version(asked, chosen, noise, secret=secret)
    return Service(name, version, victim.classes, asked.service(workspace), secret, noise, batch)


def secret_of(store: Store) -> bytes:
    """The secret key of the noise of all services from this store: drawn once, so a restart gives the same noise."""
    path = store.root / SECRET
    with writing(store.root):
        try:
            number = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(number, "wb") as file:
                file.write(secrets.token_bytes(BYTES))
        return _whole(path)


def _whole(path: Path) -> bytes:
    """The secret in a file that another server may just have opened to write it."""
    end = time.monotonic() + WRITTEN
    while len(found := path.read_bytes()) != BYTES:
        if time.monotonic() > end:
            raise MiaSegError(f"{path} does not hold {BYTES} bytes. Remove it: the next start draws another.")
        time.sleep(WRITTEN / 20)
    return found


def _check_trained(asked: AskedModel, name: str, store: Store) -> None:
    for stage, what, command in (
        (asked.model, "Victim", "train-victim"),
        (asked.generator, f"Defense '{asked.defense.name}' needs a generator, and that of victim", "train-generator"),
    ):
        if stage is not None and not stage.artefact(store).whole:
            raise MiaSegError(
                f"{what} '{name}', seed {asked.model.seed}, is not trained in {store.root}. Run 'mia-seg {command} "
                f"{name} --seed {asked.model.seed}' first, with the same --store."
            )


def _version(asked: AskedModel, defense: Selected[Defense], noise: Noise, *, secret: bytes) -> str:
    """Twelve hex digits that change with what is answered, and tell a client neither weights nor defense."""
    shaped = [
        asked.model.digest, asked.generator.digest if asked.generator else None, settings_of(defense.component),
        asked.model.recipe.inputs("window"), noise,
    ]  # fmt: skip
    return hmac.digest(secret, json.dumps(shaped, sort_keys=True).encode(), "sha256").hex()[:12]
