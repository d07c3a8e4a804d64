"""A model of segmentation_models_pytorch as its `save_pretrained` writes it: config.json and model.safetensors."""

import contextlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from mia_seg.errors import MiaSegError
from mia_seg.oracles.doors import Ask, Door, Form
from mia_seg.oracles.doors._models import Batched, BatchedOutput, existing, fault, network, scaled, toolkit

FILES = ("config.json", "model.safetensors")
FOLDER = "the folder that the model's save_pretrained wrote"
LOGITS = (None, "identity", "logsoftmax")  # what leaves logits logits


class Smp(Door):
    """`path` is that folder. Most of these models want sides that are multiples of 32: [door.input] multiple."""

    path: str = Field(description="folder with config.json and model.safetensors, relative to the working directory")
    answers: Form = Field(default="logits", description="logits, unless the model has an activation of its own")
    input: Batched = Field(default=Batched(), description="how an image is prepared for the model")
    output: BatchedOutput = Field(default=BatchedOutput(), description="what its answer means")

    def open(self, base: Path, scenes: Mapping[int, str]) -> Ask:
        del scenes
        scaled(self)
        smp, (config, weights) = toolkit("segmentation_models_pytorch", "smp"), self.files(base)
        known = _config(config)
        kind = smp.MODEL_ARCHITECTURES_MAPPING.get(str(known.get("_model_class")).lower())
        if kind is None:
            raise MiaSegError(
                f"{config} names no model of smp {smp.__version__}: _model_class = {known.get('_model_class')!r}. "
                f"Let [door] path name {FOLDER}."
            )
        self._check_activation(config, known.get("activation"))
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # the hub's mixin prints
                # Without the weights that the training began with: they would be downloaded, and then overwritten.
                model = kind.from_pretrained(config.parent, encoder_weights=None, local_files_only=True, strict=True)
        except Exception as error:  # wrong keys, shapes and files, each of its own kind
            raise MiaSegError(
                f"{weights} does not fit {config} ({fault(error)}). Save the model again with save_pretrained."
            ) from None
        return network(model, "smp", lambda answer, given: answer[0] if isinstance(answer, tuple) else answer)

    def files(self, base: Path) -> tuple[Path, ...]:
        """Its settings and weights."""
        return tuple(existing(base / self.path / name, "smp", FOLDER) for name in FILES)

    def _check_activation(self, config: Path, activation: Any) -> None:
        if self.answers == "logits" and activation not in LOGITS:
            raise MiaSegError(
                f"{config} says activation = {activation!r}, so the model does not answer logits. Set [door] answers "
                f"to 'posterior', and for a sigmoid [door.output] normalise = true; to 'labels' for an argmax."
            )


def _config(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise MiaSegError(f"{path} is no JSON ({fault(error)}). Let [door] path name {FOLDER}.") from None
    return found if isinstance(found, dict) else {}
