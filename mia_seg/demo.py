"""The toy that is a first-class citizen: the whole line on made-up streets, in minutes, without data."""

from mia_seg import pipeline
from mia_seg.evaluate import results
from mia_seg.report import words
from mia_seg.workspace import Workspace

VICTIM, SHADOW = "demo", "demo_a1"
DEFENSES = ("none", "argmax")
ATTACKS = ("image_loss", "patch_resnet50:concat", "patch_resnet50:labels")


def demo(space: Workspace) -> list[str]:
    """Run it; what leaked in plain words, then where the page is."""
    paths = pipeline.run(VICTIM, SHADOW, DEFENSES, ATTACKS, 0, space)
    pipeline.report(space)
    return [words.leak(list(results.rows([results.read(path) for path in paths])))]
