"""CPU seconds of the work on an answer, compared with the paper's numpy code and with reading the posterior once.

Run: python benchmarks/answers.py [--cells 128 256] [--image 1024 2048] [--asked 96 128] [--classes 19] [--rounds 15]
The first table measures the inputs of the patch attack and the argmax defense, for an answer of `cells`. It compares
them with the definitions in the authors' attack.py (SSAW14/segmentation_membership_inference), written out below. The
second table measures the work of a query on a whole answer, in nanoseconds per pixel of `image`. No such work costs
less than reading the posterior. The third table measures a whole query with its files, of PSPNet-ResNet-18 about scenes
of `asked`, and compares it with the network's forward passes alone. Weights are random, which changes no cost. An
image-level attack makes two such queries and does little else. One thread. All variants take turns, so a change of the
machine's speed slows all. Medians of rounds and of ratios are printed.
"""

import argparse
import contextlib
import io
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from mia_seg.attacks.patch_resnet50 import represent
from mia_seg.data import IGNORE, Scenes
from mia_seg.data.streets import Streets
from mia_seg.defenses.argmax import Argmax
from mia_seg.defenses.gaussian import Gaussian
from mia_seg.oracles import Release, as_is, check_posteriors, noise
from mia_seg.oracles.network import NetworkOracle
from mia_seg.query import Recording, query
from mia_seg.query import statistics as statistics_of
from mia_seg.query._layout import layout
from mia_seg.query.answers import Answer
from mia_seg.segmenters.pspnet import PSPNet

IN_A_ROW, SCENES = 5, 10
Runs = dict[str, Callable[[], object]]


def concatenation(posterior: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Its input 'concate': the posterior, divided by its sum, and Label2Tensor."""
    total = np.sum(posterior, 0).reshape(1, *labels.shape)
    posterior = posterior / np.repeat(total, len(posterior), axis=0)
    one_hot = np.zeros(posterior.shape, dtype="float32")
    for k in range(len(posterior)):
        one_hot[k, labels == k] = 1
    return np.concatenate((posterior, one_hot), axis=0)


def argmax(posterior: np.ndarray) -> np.ndarray:
    """Its Argmax."""
    answer = np.zeros(posterior.shape)
    order = np.argsort(posterior, axis=0)[::-1, :, :]
    for k in range(len(order)):
        answer[k, order[0, :, :] == k] = 1
    return answer


def loss_map(posterior: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Its SLM, the structured loss map."""
    loss = np.zeros((1, *labels.shape))
    for k in np.unique(labels):
        if k == IGNORE:
            continue
        mask = labels == k
        p = posterior[k, :, :] * mask
        p[p < 1e-30] = 1e-30
        loss[0, mask] = (-np.log(p))[mask]
    return loss


def told(size: tuple[int, int], classes: int) -> tuple[np.ndarray, np.ndarray]:
    """A smooth posterior, and the labels of a made-up street scene with a tenth of them ignored."""
    coarse = 3 * torch.randn(1, classes, *(max(1, side // 8) for side in size), generator=noise(0))
    posterior = torch.nn.functional.interpolate(coarse, size, mode="bilinear").softmax(1)[0].numpy()
    streets = Streets(size=size, count=1)
    labels = np.minimum(streets.scene(None, streets.ids(None)[0]).labels_HW, classes - 1)
    labels[: size[0] // 10] = IGNORE
    return posterior.copy(), labels


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--cells", type=int, nargs=2, default=(128, 256))
    options.add_argument("--image", type=int, nargs=2, default=(1024, 2048))
    options.add_argument("--asked", type=int, nargs=2, default=(96, 128))
    options.add_argument("--classes", type=int, default=19)
    options.add_argument("--rounds", type=int, default=15)
    given = options.parse_args()
    torch.set_num_threads(1)
    print(f"{platform.machine()}, numpy {np.__version__}, torch {torch.__version__.partition('+')[0]}")
    against_the_paper(*told(tuple(given.cells), given.classes), rounds=given.rounds)
    against_reading(*told(tuple(given.image), given.classes), rounds=given.rounds)
    against_the_network(tuple(given.asked), rounds=given.rounds)


def against_the_paper(posterior: np.ndarray, labels: np.ndarray, *, rounds: int) -> None:
    answer, tensor = Answer(posterior, labels), torch.from_numpy(posterior)
    ours: Runs = {
        "posterior and one-hot": lambda: represent(answer, "concat"),
        "argmax": lambda: Argmax().release(tensor, noise(0)),
        "loss map": lambda: represent(answer, "loss"),
    }
    theirs: Runs = {
        "posterior and one-hot": lambda: concatenation(posterior, labels),
        "argmax": lambda: argmax(posterior),
        "loss map": lambda: loss_map(posterior, labels),
    }
    took = [{name: (seconds(ours[name]), seconds(theirs[name])) for name in ours} for _ in range(rounds + 1)][1:]
    for each in took:
        each["in all"] = tuple(np.sum(list(each.values()), 0).tolist())
    print(f"\n{labels.shape[0]} x {labels.shape[1]} cells              mia-seg     paper")
    for name in took[0]:
        own, other = (statistics.median(each[name][which] for each in took) * 1000 for which in (0, 1))
        print(
            f"{name:24} {own:7.2f} ms {other:7.2f} ms   {ratios([e[name][1] / e[name][0] for e in took])} times as fast"
        )


def against_reading(posterior: np.ndarray, labels: np.ndarray, *, rounds: int) -> None:
    streets, said, tensor = Streets(size=labels.shape, count=1), layout(labels), torch.from_numpy(posterior)
    scene = streets.scene(None, streets.ids(None)[0])
    runs: Runs = {
        "read the posterior": lambda: posterior.max(0),
        "check it": lambda: check_posteriors([tensor], scene, len(posterior)),
        "what the labels say": lambda: layout(labels),
        "statistics": lambda: statistics_of(posterior, said),
        "every eighth, as float16": lambda: np.ascontiguousarray(posterior[:, ::8, ::8], np.float16),
    }
    took = [{name: seconds(run) for name, run in runs.items()} for _ in range(rounds + 1)][1:]
    print(f"\n{labels.shape[0]} x {labels.shape[1]} pixels")
    for name in runs:
        per_pixel = statistics.median(each[name] for each in took) / labels.size * 1e9
        print(
            f"{name:24} {per_pixel:7.2f} ns a pixel   {ratios([e[name] / e['read the posterior'] for e in took])} reads"
        )


def against_the_network(size: tuple[int, int], *, rounds: int) -> None:
    streets = Streets(size=size, count=SCENES)
    scenes = Scenes(streets, None, streets.ids(None), room=1 << 30)
    network = PSPNet(backbone="resnet18").build(len(streets.classes())).to(memory_format=torch.channels_last)
    oracle = NetworkOracle(network.eval())
    runs: Runs = {
        "forwards": lambda: [oracle(scene.image_HWC, 0) for scene in scenes],
        "query": lambda: ask(oracle, scenes, [as_is]),
        "query, three defenses": lambda: ask(oracle, scenes, [as_is, Argmax().release, Gaussian().release]),
    }
    took = [{name: seconds(run, 1) for name, run in runs.items()} for _ in range(rounds + 1)][1:]
    print(f"\n{size[0]} x {size[1]} pixels, {SCENES} scenes")
    for name in runs:
        per_scene = statistics.median(each[name] for each in took) / SCENES * 1000
        print(
            f"{name:24} {per_scene:7.2f} ms a scene   {ratios([e[name] / e['forwards'] for e in took], 2)} of forwards"
        )


def ask(oracle: NetworkOracle, scenes: Scenes, releases: list[Release]) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        recordings = [Recording(Path(folder) / str(k), release) for k, release in enumerate(releases)]
        for recording in recordings:
            recording.folder.mkdir()
        query(oracle, scenes, recordings, stride=4, seed=0, title="")


def ratios(found: list[float], digits: int = 1) -> str:
    return f"{statistics.median(found):5.{digits}f} ({min(found):.{digits}f} to {max(found):.{digits}f})"


def seconds(run: Callable[[], object], in_a_row: int = IN_A_ROW) -> float:
    """The median of some runs in a row, as a query's are: the first one may have to ask the system for memory."""
    took = []
    for _ in range(in_a_row):
        start = time.process_time()
        run()
        took.append(time.process_time() - start)
    return statistics.median(took)


if __name__ == "__main__":
    main()
