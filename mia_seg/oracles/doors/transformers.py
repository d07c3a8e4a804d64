"""A segmentation model of transformers as its `save_pretrained` writes it: config.json and model.safetensors."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional as F

from mia_seg.errors import MiaSegError
from mia_seg.oracles.doors import Ask, Door
from mia_seg.oracles.doors._models import Batched, BatchedOutput, existing, fault, network, scaled, toolkit

FOLDER = "the folder that the model's save_pretrained wrote"
MASKS = ("mask2former", "maskformer")


class Transformers(Door):
    """`path` is that folder. Models with one head answer logits, SegFormer at [door.output] stride = 4.

    Mask2Former and MaskFormer answer masks with classes. Their score of a class at a pixel is the sum over masks of
    the class's probability (without "no object") times the mask's, enlarged to the image before its sigmoid, as their
    authors evaluate them. These scores do not sum to one: answers = "posterior" and [door.output] normalise = true.
    """

    path: str = Field(
        description="folder with config.json and weights as safetensors, relative to the working directory"
    )
    input: Batched = Field(default=Batched(), description="how an image is prepared for the model")
    output: BatchedOutput = Field(default=BatchedOutput(), description="what its answer means")

    def open(self, base: Path, scenes: Mapping[int, str]) -> Ask:
        del scenes
        scaled(self)
        transformers, (config, *_) = toolkit("transformers", "transformers"), self.files(base)
        masks = self._has_masks(transformers, config)
        model = _loaded(transformers, config.parent, "Universal" if masks else "Semantic")
        return network(model, "transformers", _class_scores if masks else lambda answer, given: answer.logits)

    def files(self, base: Path) -> tuple[Path, ...]:
        """Its settings and weights; large models have several files of these."""
        config = existing(base / self.path / "config.json", "transformers", FOLDER)
        weights = sorted(config.parent.glob("model*.safetensors"))
        if not weights:
            raise MiaSegError(
                f"Door 'transformers': {config.parent} holds no model.safetensors. Save the model again with "
                f"save_pretrained: weights in other files can run code when they are read."
            )
        return (config, *weights)

    def _has_masks(self, transformers: Any, config: Path) -> bool:
        """Whether the model answers masks with classes and not logits."""
        try:
            kind = transformers.AutoConfig.from_pretrained(
                config.parent, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:  # a broken file, or a model that this version does not know
            raise MiaSegError(
                f"{config} is none of transformers {transformers.__version__} ({fault(error)}). Let [door] path name "
                f"{FOLDER}, or update transformers."
            ) from None
        if kind.model_type in MASKS and not (self.answers == "posterior" and self.output.normalise):
            raise MiaSegError(
                f"{config} is of a {kind.model_type}, whose scores are no logits and do not sum to one. Set [door] "
                f"answers = 'posterior' and [door.output] normalise = true."
            )
        if kind.model_type not in MASKS and type(kind) not in transformers.MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING:
            raise MiaSegError(
                f"{config} is of a {kind.model_type}, which gives no score a class and pixel that this door knows. "
                f"Put a function around it: [door] name = 'callable'."
            )
        return kind.model_type in MASKS


def _class_scores(answer: Any, given: np.ndarray) -> torch.Tensor:
    """Scores [1, K, H, W] of the masks [1, Q, h, w] and their classes [1, Q, K + 1]."""
    classes_NQK = answer.class_queries_logits.softmax(-1)[..., :-1]
    masks_NQHW = F.interpolate(answer.masks_queries_logits, given.shape[-2:], mode="bilinear", align_corners=False)
    return torch.einsum("nqk,nqhw->nkhw", classes_NQK, masks_NQHW.sigmoid())


def _loaded(transformers: Any, folder: Path, head: str) -> torch.nn.Module:
    """The model in float32, which is what it is given; all of its weights are in the files, and none are drawn."""
    kind = getattr(transformers, f"AutoModelFor{head}Segmentation")
    try:
        with _silent(transformers):
            model, found = kind.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, trust_remote_code=False,
                dtype=torch.float32, output_loading_info=True,
            )  # fmt: skip
    except Exception as error:  # of the toolkit, of safetensors, of torch
        raise MiaSegError(f"{folder} cannot be read ({fault(error)}). Save the model again, whole.") from None
    lacking = sorted([*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])])
    if lacking:
        raise MiaSegError(
            f"{folder} lacks {len(lacking)} weights of {type(model).__name__}, {lacking[0]} first: transformers would "
            f"draw them at random. Is it a backbone that was never trained to segment? Save the trained model."
        )
    return model


@contextmanager
def _silent(transformers: Any) -> Iterator[None]:
    """Without bars and reports of the loading: what matters of these is said in one sentence."""
    logging = transformers.utils.logging
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)  # its reports of lacking weights are errors
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
