"""Backbones by timm, random or with the ImageNet weights that the published networks start from."""

import os
import pickle
from pathlib import Path
from typing import Annotated, Any

import timm
from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # of the client that the hub uses
from pydantic import Field
from safetensors import SafetensorError

from mia_seg.errors import MiaSegError
from mia_seg.values import Switch

FOLDER = "MIA_SEG_WEIGHTS"
SUFFIXES = (".safetensors", ".pth", ".bin")
# The `s` ResNets have PSPNet's stem; the Xceptions are the checkpoints that DeepLab's authors publish.
WEIGHTS = {
    "resnet18": "resnet18.tv_in1k",
    "resnet50": "resnet50s.gluon_in1k",
    "resnet101": "resnet101s.gluon_in1k",
    "xception65": "xception65.tf_in1k",
    "xception71": "xception71.tf_in1k",
}

Pretrained = Annotated[
    Switch, Field(description=f"start from ImageNet weights: a file in the folder {FOLDER}, timm's cache or timm's hub")
]


def create(name: str, pretrained: bool, **settings: Any) -> Any:
    """A timm network, random or with the weights `WEIGHTS[name]`. Raises MiaSegError where they are not to be had."""
    if not pretrained:
        return timm.create_model(name, num_classes=0, **settings)
    wanted = WEIGHTS[name]
    file = _file(wanted)
    # With its classifier, which no segmenter reads: timm then refuses weights that lack a layer or have one too many.
    return _from_hub(wanted, settings) if file is None else _from_file(wanted, file, settings)


def local_file(backbone: str) -> Path | None:
    """The file that `create` reads a backbone's weights from; None where they come from timm's cache or hub."""
    return _file(WEIGHTS[backbone])


def _file(wanted: str) -> Path | None:
    folder = os.environ.get(FOLDER)
    files = [Path(folder) / (wanted + suffix) for suffix in SUFFIXES] if folder else []
    return next((file for file in files if file.is_file()), None)


def _from_file(wanted: str, file: Path, settings: dict[str, Any]) -> Any:
    try:
        return timm.create_model(wanted, pretrained=True, pretrained_cfg_overlay={"file": str(file)}, **settings)
    except (OSError, EOFError, RuntimeError, SafetensorError, pickle.UnpicklingError) as error:
        raise MiaSegError(
            f"{file} does not hold the weights of timm's '{wanted}' ({_fault(error)}). "
            f"Put timm's own file there, or set pretrained = false in [segmenter]."
        ) from None


def _from_hub(wanted: str, settings: dict[str, Any]) -> Any:
    try:
        return timm.create_model(wanted, pretrained=True, **settings)
    except (OSError, HTTPError) as error:
        folder = os.environ.get(FOLDER)
        place = f"the folder {folder} ({FOLDER})" if folder else f"a folder and let {FOLDER} name it"
        raise MiaSegError(
            f"The weights '{wanted}' are not on this machine, and there is no network to timm's hub ({_fault(error)}). "
            f"Put {wanted}.safetensors into {place}, or set pretrained = false in [segmenter]."
        ) from None


def _fault(error: Exception) -> str:
    """The last line of a library's complaint."""
    lines = str(error).splitlines()
    return lines[-1].strip().rstrip(".")[:200] if lines else type(error).__name__
