"""Segmenters of three toolkits, trained from random weights by a loop of plain PyTorch, without mia-seg.

Benchmarks beside this file audit these models through doors, as models that mia-seg did not make.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

IGNORE = 255
BATCH, RATE = 8, 1e-3
# What [door] says of each, beside its path.
DOORS = {
    "smp": "",
    "torchvision": 'architecture = "deeplabv3_mobilenet_v3_large"\n',
    "transformers": 'answers = "logits"\noutput = { stride = 4 }\n',
}


def network(toolkit: str, classes: int, seed: int) -> nn.Module:
    """With random weights: a U-Net-ResNet-18 of four levels, a DeepLabV3-MobileNetV3 or a thin SegFormer."""
    torch.manual_seed(seed)
    if toolkit == "smp":
        import segmentation_models_pytorch as smp

        return smp.Unet(
            "resnet18", encoder_depth=4, decoder_channels=(128, 64, 32, 16), encoder_weights=None, classes=classes
        )
    if toolkit == "torchvision":
        from torchvision.models import segmentation

        return segmentation.deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=classes)
    import transformers

    config = transformers.SegformerConfig(depths=[1] * 4, decoder_hidden_size=128, num_labels=classes)
    return transformers.SegformerForSemanticSegmentation(config)


def logits(model: nn.Module, images: Tensor) -> Tensor:
    """[N, K, H, W] for images in 0 to 1, as each toolkit evaluates them."""
    answer = model(images)
    if isinstance(answer, Tensor):
        return answer
    if "out" in answer:
        return answer["out"]
    return F.interpolate(answer.logits, images.shape[-2:], mode="bilinear", align_corners=False)


def tensors(images: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Images [N, 3, H, W] in 0 to 1, and labels [N, H, W]."""
    given = np.stack(images).transpose(0, 3, 1, 2) / np.float32(255)
    return torch.from_numpy(given), torch.from_numpy(np.stack(labels).astype(np.int64))


def train(toolkit: str, images: Tensor, labels: Tensor, *, classes: int, epochs: int, seed: int) -> nn.Module:
    """AdamW with a rate that falls as a cosine, batches of 8, half of them mirrored."""
    model = network(toolkit, classes, seed).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=1e-4)
    steps = epochs * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(images))[: len(images) // BATCH * BATCH].split(BATCH):
            given, wanted = images[rows], labels[rows]
            if torch.rand(()) < 0.5:
                given, wanted = given.flip(-1), wanted.flip(-1)
            loss = F.cross_entropy(logits(model, given), wanted, ignore_index=IGNORE)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    if toolkit == "torchvision":  # its batch norm keeps 99% of what it knows a step, and steps are few
        settle(model, images)
    return model.eval()


@torch.no_grad()
def settle(model: nn.Module, images: Tensor) -> None:
    """Statistics of batch norm anew: the mean over the images."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None
    for given in images[: len(images) // BATCH * BATCH].split(BATCH):
        model.train()(given)


def save(toolkit: str, model: nn.Module, path: Path) -> None:
    """What the door named after the toolkit opens: a file of torchvision, a folder of the others."""
    if toolkit == "torchvision":
        torch.save(model.state_dict(), path)
    else:
        model.save_pretrained(path)


def load(toolkit: str, path: Path, classes: int) -> nn.Module:
    """What `save` wrote, by the toolkit itself."""
    if toolkit == "torchvision":
        model = network(toolkit, classes, 0)
        model.load_state_dict(torch.load(path, weights_only=True))
        return model.eval()
    kind = type(network(toolkit, classes, 0))
    return kind.from_pretrained(path).eval()


def door(toolkit: str, path: str) -> str:
    """The section [door] of a recipe."""
    return f'[door]\nname = "{toolkit}"\npath = "{path}"\ninput = {{ scale = 255 }}\n{DOORS[toolkit]}'
