"""The peak memory of query and attack on 400 scenes, compared with 100 scenes; each in a process of its own.

Run: python benchmarks/memory.py
The network is not trained, because memory does not depend on the weights.
"""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

COUNTS = (100, 400)


def main() -> None:
    peaks = {}
    for count in COUNTS:
        run = subprocess.run([sys.executable, __file__, str(count)], capture_output=True, text=True, check=True)
        peaks[count] = json.loads(run.stdout)
        print(f"{count} scenes: peak {peaks[count] / 1024:.0f} MiB")
    print(f"ratio {peaks[COUNTS[1]] / peaks[COUNTS[0]]:.3f}")


def measure(count: int) -> int:
    """Peak resident KiB of asking about `count` scenes and attacking the answers with both attacks."""
    import numpy as np
    import torch
    from lightning_fabric import Fabric

    from mia_seg import plugins, query, recipes, segmenters
    from mia_seg.attacks import Membership
    from mia_seg.attacks.image_loss import ImageLoss
    from mia_seg.attacks.patch_resnet50 import PatchResNet50
    from mia_seg.data import Scenes
    from mia_seg.oracles import as_is
    from mia_seg.oracles.network import NetworkOracle
    from mia_seg.query import answers

    torch.manual_seed(0)
    settings = recipes.load("victim", "demo")
    dataset = settings.dataset()
    network = plugins.from_section(segmenters, segmenters.Segmenter, settings.segmenter, where="").build(19).eval()
    scenes = Scenes(dataset, None, dataset.ids(None)[:count])
    with tempfile.TemporaryDirectory() as folder:
        recordings = [query.Recording(Path(folder), as_is)]
        query.query(NetworkOracle(network, None), scenes, recordings, stride=2, seed=0, title="asking")
        asked = answers.load(Path(folder))
        known = Membership(np.arange(count) % 2 == 0, np.arange(count))
        fabric = Fabric(accelerator="cpu", devices=1)
        for attack in (ImageLoss(), PatchResNet50(patch=(24, 24), epochs=1)):
            attack.fit(asked, known, 0, fabric=fabric).score(asked, 0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(int(sys.argv[1]))))
    else:
        main()
