"""Whether ONNX files by PyTorch's exporter answer as their networks do, at several image sizes and through the doors.

Run: python benchmarks/exports.py > benchmarks/exports.md (needs the extra `doors`)

Networks of segmentation_models_pytorch with random weights are exported at 96 x 128 pixels, with height and width
declared as free. The door `smp` asks the network, and the door `onnx` asks the file, at that size and at others.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import segmentation_models_pytorch as smp
import torch
from PIL import Image

from mia_seg.errors import MiaSegError
from mia_seg.oracles import doors
from mia_seg.oracles.door import DoorOracle
from mia_seg.oracles.doors import Door
from mia_seg.oracles.examples import agree
from mia_seg.plugins import from_section

CLASSES = tuple(f"class {k}" for k in range(19))
EXPORTED, OTHERS = (96, 128), ((192, 256), (480, 640), (96, 192))


def opened(folder: Path, **section: object) -> tuple[Door, DoorOracle]:
    door = from_section(doors, Door, {"input": {"scale": 255}, "answers": "logits"} | section, where="[door]")
    return door, DoorOracle(door, door.open(folder, {}), CLASSES)


def export(network: torch.nn.Module, path: Path) -> None:
    free = torch.export.Dim.AUTO
    torch.onnx.export(
        network, (torch.rand(1, 3, *EXPORTED),), path,
        dynamo=True, dynamic_shapes=({2: free, 3: free},), verbose=False,
    )  # fmt: skip


def write_example(asked: DoorOracle, folder: Path, size: tuple[int, int]) -> None:
    """An image and the network's own answer."""
    folder.mkdir()
    small = np.random.default_rng(0).integers(256, size=(6, 8, 3), dtype=np.uint8)
    image = np.asarray(Image.fromarray(small).resize(size[::-1], Image.Resampling.BICUBIC))
    Image.fromarray(image).save(folder / "a.png")
    np.save(folder / "a.npy", asked(image, 0).numpy())


def row(kind: str, folder: Path) -> str:
    torch.manual_seed(0)
    network = getattr(smp, kind)("resnet18", encoder_weights=None, classes=len(CLASSES)).eval()
    network.save_pretrained(folder / "network")
    export(network, folder / "network.onnx")
    _, own = opened(folder, name="smp", path="network")
    door, exported = opened(folder, name="onnx", path="network.onnx")
    cells = [kind]
    for size in (EXPORTED, *OTHERS):
        write_example(own, folder / f"{size}", size)
        try:
            found = agree(exported, door, folder / f"{size}", classes=CLASSES)
            cells.append(f"{found.largest:.0e}")
        except MiaSegError as error:
            _, _, why = str(error).rpartition("owner: ")
            cells.append(f"**refused**: {'onnxruntime fails' if 'failed' in why else why.partition(' of the')[0]}")
    return f"| {' | '.join(cells)} |"


HEAD = """# PyTorch's ONNX exports through the doors

Made by `python benchmarks/exports.py > benchmarks/exports.md`. Networks with random weights and 19 classes are exported
at 96 x 128 pixels, with height and width declared as free. A number is the largest difference between the file's
posterior and the network's. A refused cell gives the share of pixels that have the network's class; 99% must.
"""


def main() -> None:
    sizes = [f"{height} x {width}" for height, width in (EXPORTED, *OTHERS)]
    print(HEAD, f"| ResNet-18 with | {' | '.join(sizes)} |", "|---|---|---|---|---|", sep="\n")
    for kind in ("Unet", "DeepLabV3Plus", "PSPNet"):
        with tempfile.TemporaryDirectory() as folder:
            print(row(kind, Path(folder)), flush=True)
    print(
        f"\n{time.process_time():.0f} CPU seconds, torch {torch.__version__.partition('+')[0]}, smp {smp.__version__}."
    )


if __name__ == "__main__":
    main()
