"""A segmentation model of torchvision: an architecture by its name, and a file of weights."""

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torchvision
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file

from mia_seg.errors import MiaSegError
from mia_seg.oracles.doors import Ask, Door, Form
from mia_seg.oracles.doors._models import Batched, BatchedOutput, existing, fault, network, scaled
from mia_seg.plugins import nearest

INSIDE = ("model", "state_dict", "model_state_dict")  # where training scripts keep the weights beside other things


class Torchvision(Door):
    """Answers what the model gives under "out"; the second head, "aux", is for its training."""

    architecture: str = Field(description="a name of torchvision.models.segmentation, such as deeplabv3_resnet50")
    path: str = Field(description="file of its state_dict: .safetensors, or torch.save of tensors alone")
    answers: Form = Field(default="logits", description="logits: what these models give")
    input: Batched = Field(default=Batched(), description="how an image is prepared for the model")
    output: BatchedOutput = Field(default=BatchedOutput(), description="what its answer means")

    def open(self, base: Path, scenes: Mapping[int, str]) -> Ask:
        del scenes
        scaled(self)
        known = torchvision.models.list_models(module=torchvision.models.segmentation)
        if self.architecture not in known:
            hint = nearest(self.architecture, known)
            raise MiaSegError(f"Door 'torchvision': no architecture is called '{self.architecture}'.{hint}")
        (path,) = self.files(base)
        model = self._model(path, _state(path))
        return network(model, "torchvision", lambda answer, given: answer["out"])

    def files(self, base: Path) -> tuple[Path, ...]:
        """The weights."""
        return (existing(base / self.path, "torchvision", "the file of its weights"),)

    def _model(self, path: Path, state: dict[str, torch.Tensor]) -> torch.nn.Module:
        """The architecture with these weights; the number of classes and the second head are what they show."""
        biases = [value for name, value in state.items() if name.startswith("classifier.") and name.endswith(".bias")]
        if not biases:
            raise MiaSegError(
                f"{path} holds no weights of a torchvision segmenter: none is called 'classifier....bias', but "
                f"'{next(iter(state), 'nothing')}' and others. Rename them (DataParallel puts 'module.' before each)."
            )
        settings = {"aux_loss": True} if any(name.startswith("aux_classifier.") for name in state) else {}
        try:
            with torch.device("meta"):  # without drawing weights that are replaced at once
                model: torch.nn.Module = torchvision.models.get_model(
                    self.architecture, weights=None, weights_backbone=None, num_classes=len(biases[-1]), **settings
                )
            model.load_state_dict(state, assign=True)
        except (RuntimeError, TypeError) as error:
            raise MiaSegError(
                f"{path} does not hold the weights of {self.architecture} ({fault(error)}). Name their architecture in "
                f"[door] architecture, or save the model's state_dict again."
            ) from None
        return model.float()


def _state(path: Path) -> dict[str, torch.Tensor]:
    """Tensors by name; nothing that a file holds is run."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of a foreign file torch warns before it refuses
            found: Any = (
                load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
            )
    except (OSError, EOFError, RuntimeError, SafetensorError, pickle.UnpicklingError) as error:
        raise MiaSegError(
            f"{path} cannot be read as tensors alone ({fault(error)}). Save the model's state_dict, not the model: a "
            f"whole model is code that runs when it is read."
        ) from None
    inside = next((found[key] for key in INSIDE if isinstance(found, dict) and isinstance(found.get(key), dict)), found)
    if not isinstance(inside, dict) or not all(isinstance(value, torch.Tensor) for value in inside.values()):
        raise MiaSegError(f"{path} holds no state_dict. Save one: torch.save(model.state_dict(), path).")
    return inside
