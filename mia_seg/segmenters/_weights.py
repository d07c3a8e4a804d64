"""Backbones by timm, random or with the ImageNet weights that the published networks start from."""

import os
import pickle
from pathlib import Path
from typing import Annotated, Any

import huggingface_hub
import timm
from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # of the client that the hub uses
from pydantic import Field
from safetensors import SafetensorError

from mia_seg.errors import MiaSegError
from mia_seg.progress import console
from mia_seg.values import Switch

FOLDER = "MIA_SEG_WEIGHTS"
SUFFIXES = (".safetensors", ".pth", ".bin")
HUB_FILES = ("model.safetensors", "pytorch_model.bin")  # as timm names them there
PATIENCE = 10.0  # seconds
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
    """A timm network, random or with the weights `WEIGHTS[name]`. Raises MiaSegError if they cannot be had."""
    if not pretrained:
        return timm.create_model(name, num_classes=0, **settings)
    # With its classifier, which no segmenter reads: timm then refuses weights that lack a layer or have one too many.
    return _from_file(WEIGHTS[name], obtain(name), settings)


def obtain(backbone: str) -> Path:
    """The file of a backbone's weights: in the folder of MIA_SEG_WEIGHTS, in the hub's cache, or downloaded now.

    Raises MiaSegError, within seconds, if the hub cannot be reached.
    """
    wanted = WEIGHTS[backbone]
    return _file(wanted) or _cached(wanted) or _fetched(wanted)


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


def _cached(wanted: str) -> Path | None:
    """What an earlier run fetched: no network is asked whether there is something newer."""
    found = (huggingface_hub.try_to_load_from_cache(f"timm/{wanted}", name) for name in HUB_FILES)
    return next((Path(path) for path in found if isinstance(path, str)), None)


def _fetched(wanted: str) -> Path:
    repository, file = f"timm/{wanted}", HUB_FILES[0]
    address = huggingface_hub.hf_hub_url(repository, file)
    console.print(f"fetching the weights {wanted} from {address}", markup=False, soft_wrap=True)
    try:
        # One request before all others: each of those would be tried again for a minute, and in silence.
        huggingface_hub.get_hf_file_metadata(address, timeout=PATIENCE)
        return Path(huggingface_hub.hf_hub_download(repository, file))
    except (OSError, HTTPError) as error:
        folder = os.environ.get(FOLDER)
        place = f"the folder {folder} ({FOLDER})" if folder else f"a folder and let {FOLDER} name it"
        raise MiaSegError(
            f"The weights '{wanted}' are not on this machine, and {address} cannot be fetched ({_fault(error, 0)}). "
            f"Put {wanted}.safetensors into {place}, or set pretrained = false in [segmenter]."
        ) from None


def _fault(error: Exception, line: int = -1) -> str:
    """One line of a library's complaint: torch's last one tells, and the first of a request that failed."""
    lines = str(error).splitlines()
    return lines[line].strip().rstrip(".")[:200] if lines else type(error).__name__
