"""Stochastic regression (thesis, chapter 5): each target trains the generator's code that comes nearest to it.

There is no discriminator and no encoder. With `neighbours`, features of scenes with similar layouts are targets too,
each for another code, so that one layout gets several answers.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from mia_seg.gan.objectives import Decode, Objective
from mia_seg.generators import Generator, GeneratorNetwork
from mia_seg.generators.stochastic import SwitchedUNet
from mia_seg.recipes import TrainGenerator

BETAS = (0.9, 0.999)
CELLS = 5  # of a side of a layout, when two are compared


class Regression(Objective):
    """A generator with codes, and one step of its training."""

    def __init__(
        self, settings: Generator, how: TrainGenerator, classes: int, *, generator: GeneratorNetwork,
        device: torch.device, decode: Decode | None = None,
    ) -> None:  # fmt: skip
        del settings, classes
        super().__init__({"generator": generator}, how, BETAS, generator=generator, device=device, decode=decode)
        self.near = how.neighbours

    def step(self, layout_NKHW: Tensor, feature_NCHW: Tensor) -> dict[str, float]:
        """One update on the mean over scenes and their targets, each drawn with the code that it was given."""
        scene_P, target_P, code_P = self.assigned(layout_NKHW, feature_NCHW)
        drawn = self.generator.standard(layout_NKHW[scene_P], self.codes[code_P])
        terms = {name: term_P.mean() for name, term_P in self.terms(drawn, feature_NCHW[target_P]).items()}
        self.optimizers["generator"].zero_grad()
        torch.autograd.backward(self.weighted(terms), inputs=list(self.generator.parameters()))
        self.optimizers["generator"].step()
        return {name: term.item() for name, term in terms.items()}

    @property
    def codes(self) -> Tensor:
        """The generator's fixed codes [B, Z]."""
        unet = self.generator.unet
        assert isinstance(unet, SwitchedUNet), "others have another objective: refused before"
        return unet.codes_BZ

    @torch.no_grad()
    def assigned(self, layout_NKHW: Tensor, feature_NCHW: Tensor) -> tuple[list[int], list[int], list[int]]:
        """Three lists, one entry a target: the scene that is drawn, the scene whose feature is the target, the code."""
        targets = near(layout_NKHW, self.near, most=len(self.codes))
        scene_P = [scene for scene, others in enumerate(targets) for _ in others]
        target_P = [target for others in targets for target in others]
        drawn = (self.generator.standard(layout_NKHW, code.expand(len(targets), -1)) for code in self.codes)
        losses = [self.weighted(self.terms(one[scene_P], feature_NCHW[target_P])) for one in drawn]
        loss_PB = torch.stack(losses, 1).cpu()
        scenes = torch.split(loss_PB, [len(others) for others in targets])
        code_P = [code for loss_TB in scenes for code in assign(loss_TB)]
        return scene_P, target_P, code_P

    def terms(self, drawn_PCHW: Tensor, feature_PCHW: Tensor) -> dict[str, Tensor]:
        """L1, and the cross-entropy of what the segmenter reads out of both, of each pair: [P], unweighted."""
        terms = {"reconstruction": (drawn_PCHW - feature_PCHW).abs().mean((1, 2, 3))}
        if self.decode is not None:
            with torch.no_grad():
                meant = self.decode(feature_PCHW).softmax(1)
            terms["decoding"] = F.cross_entropy(self.decode(drawn_PCHW), meant, reduction="none").mean((1, 2))
        return terms

    def weighted(self, terms: Mapping[str, Tensor]) -> Tensor:
        """What is minimised, of terms of one shape."""
        return torch.stack([weight * terms[name] for name, weight in self.weights.items()]).sum(0)


def near(layout_NKHW: Tensor, apart: float, *, most: int) -> list[list[int]]:
    """For each layout, itself and others at a distance below `apart`, the nearest first; at most `most` in all.

    Distance, 0 to 1: the share of the area that differs, by the shares of the classes in 5 x 5 cells.
    """
    shares_NKS = F.adaptive_avg_pool2d(layout_NKHW, CELLS).flatten(2)
    apart_NN = (shares_NKS[:, None] - shares_NKS).abs().sum(2).mean(2) / 2
    apart_NN.fill_diagonal_(-1)
    return [[int(j) for j in row.argsort(stable=True)[:most] if row[j] < apart] for row in apart_NN]


def assign(loss_TB: Tensor) -> list[int]:
    """A code for each target, of which there are at most as many (equation 5.5). loss_TB: of each target and code.

    The first target takes its best code. The others ask for their best remaining code, and the nearest one that asks
    gets it; the rest ask again.
    """
    code = {0: int(loss_TB[0].argmin())}
    while len(code) < len(loss_TB):
        left_TB = loss_TB.index_fill(1, torch.tensor(list(code.values())), torch.inf)
        waiting = [target for target in range(len(loss_TB)) if target not in code]
        best, asked = left_TB[waiting].min(1), dict[int, int]()
        for k in best.values.argsort(stable=True).tolist():
            asked.setdefault(int(best.indices[k]), waiting[k])
        code |= {target: one for one, target in asked.items()}
    return [code[target] for target in range(len(loss_TB))]
