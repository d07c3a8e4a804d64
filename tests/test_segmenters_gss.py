"""GSS: the codebook of label patches, the posterior that follows from it, and the two losses."""

from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mia_seg.data import IGNORE
from mia_seg.errors import MiaSegError
from mia_seg.segmenters import Drawn, cross_entropy
from mia_seg.segmenters._codebook import learn_codes, uniform_codes
from mia_seg.segmenters.gss import GSS, UNTOLD, GSSNetwork
from mia_seg.segmenters.pspnet import PSPNet

# Two rows of two cells of 2 x 2 pixels: one class, another, a corner, and one that is half unlabelled.
TOY = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1], [0, 2, 1, IGNORE], [2, 2, 1, IGNORE]])


@cache
def built(codes: int = 6, cell: int = 2, classes: int = 3) -> GSSNetwork:
    torch.manual_seed(0)
    return GSS(backbone="resnet18", codes=codes, cell=cell, dropout=0.0).build(classes).eval()


@cache
def fitted() -> GSSNetwork:
    network = built()
    network.fit([(torch.zeros(3, 4, 4), TOY)])
    return network


def certain(code_Nhw: Tensor, codes: int) -> Tensor:
    """Logits that leave one code to each cell."""
    return 200 * F.one_hot(code_Nhw, codes).permute(0, 3, 1, 2).float()


def test_a_codebook_of_all_its_patches_writes_a_label_map_exactly() -> None:
    network = fitted()
    code = network.codes_of(TOY[None])
    said = network.posterior(certain(code, 6), (4, 4))[0].argmax(0)
    assert torch.equal(said[TOY != IGNORE], TOY[TOY != IGNORE])
    # Only cells that are labelled whole are learnt: three patches, over and over.
    assert torch.equal(network.codebook[:3], network.codebook[3:])
    assert len(network.codebook[:3].unique(dim=0)) == 3
    assert code.unique().numel() == 3  # the half labelled cell shows the class of its labelled half


def test_a_certain_code_is_its_patch() -> None:
    network, code = fitted(), torch.tensor([[[0, 1], [2, 0]]])
    p = network.posterior(certain(code, 6), (4, 4)).exp()
    for (row, column), v in np.ndenumerate(code[0].numpy()):
        cell = p[0, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        assert torch.allclose(cell, network.codebook[int(v)], atol=2e-6)


@pytest.mark.parametrize("size", [(8, 12), (7, 9)])
def test_the_posterior_is_the_mixture_of_the_patches(size: tuple[int, int]) -> None:
    network, logits = fitted(), torch.randn(2, 6, 4, 6, generator=torch.Generator().manual_seed(1))
    logits = logits[:, :, : -(-size[0] // 2), : -(-size[1] // 2)]
    p = network.posterior(logits, size).exp()
    weights = logits.softmax(1).repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, : size[0], : size[1]]
    patches = network.codebook.repeat(1, 1, 4, 6)[:, :, : size[0], : size[1]]
    assert p.shape == (2, 3, *size)
    assert torch.allclose(p, (weights[:, :, None] * patches).sum(1), atol=2e-6)
    assert torch.allclose(p.sum(1), torch.ones(2, *size), atol=1e-6)


def test_a_class_that_no_code_shows_keeps_a_finite_loss() -> None:
    network = fitted()
    logits = certain(torch.zeros(1, 1, 1, dtype=torch.int64), 6).requires_grad_()
    never = network.codebook[0, :, 0, 0].argmin()
    loss = cross_entropy(network.posterior(logits, (2, 2)), never.expand(1, 2, 2))
    loss.backward()
    assert loss.item() == pytest.approx(-np.log(1e-6 / 3), rel=1e-3)
    assert logits.grad.isfinite().all()


def test_the_posterior_is_float32_where_the_network_is_not() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        p = fitted().posterior(torch.randn(1, 6, 2, 2).bfloat16(), (4, 4)).exp()
    assert p.dtype == torch.float32
    assert torch.allclose(p.sum(1), torch.ones(1, 4, 4), atol=1e-6)


def test_a_code_is_the_nearest_patch_by_the_labelled_pixels() -> None:
    network, labels = built(8, 4, 3), torch.randint(3, (2, 10, 13), generator=torch.Generator().manual_seed(2))
    labels[0, :, 3:6] = IGNORE
    drawn = torch.rand(8, 3, 4, 4, generator=torch.Generator().manual_seed(3))
    network.codebook.copy_(drawn / drawn.sum(1, keepdim=True))
    found = network.codes_of(labels)
    assert found.shape == (2, 3, 4)
    for n, row, column in np.ndindex(2, 3, 4):
        cell = labels[n, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        known = [(int(k), y, x) for (y, x), k in np.ndenumerate(cell.numpy()) if k != IGNORE]
        if len(known) < 8:  # of 16
            assert found[n, row, column] == UNTOLD
            continue
        costs = [sum((F.one_hot(torch.tensor(k), 3) - code[:, y, x]).square().sum() for k, y, x in known)
                 for code in network.codebook]  # fmt: skip
        assert found[n, row, column] == int(torch.stack(costs).argmin())


def test_cells_without_labels_teach_nothing() -> None:
    network, image = fitted().train(), torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(4))
    loss, logits = network.loss(image, torch.full((2, 16, 16), IGNORE))
    assert loss.item() == 0
    assert logits.shape == (2, 3, 16, 16)


def test_one_code_a_class_and_pixel_is_plain_cross_entropy() -> None:
    network, plain = built(5, 1, 5), PSPNet(backbone="resnet18", dropout=0.0).build(5).eval()
    assert torch.equal(network.codebook[:, :, 0, 0], torch.eye(5))
    plain.load_state_dict({name: tensor for name, tensor in network.state_dict().items() if name != "codebook"})
    image = torch.rand(2, 3, 32, 40, generator=torch.Generator().manual_seed(5))
    labels = torch.randint(5, (2, 32, 40), generator=torch.Generator().manual_seed(6))
    labels[:, :9] = IGNORE
    with torch.no_grad():
        assert network.loss(image, labels)[0].item() == pytest.approx(plain.loss(image, labels)[0].item(), rel=1e-4)
        assert torch.allclose(network(image).softmax(1), plain(image).softmax(1), atol=1e-5)


def test_the_loss_is_the_two_losses_of_both_heads() -> None:
    network, labels = fitted().eval(), TOY.repeat(4, 6)[None]
    image = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        loss, logits = network.loss(image, labels)
        told = super(GSSNetwork, network).heads(network.encode(image), (8, 12))
        code, total = network.codes_of(labels), 0.0
        for weight, token in told:
            total += weight * 0.8 * F.cross_entropy(token, code, ignore_index=UNTOLD)
            total += weight * 0.2 * F.cross_entropy(network.posterior(token, (16, 24)), labels, ignore_index=IGNORE)
        assert [weight for weight, _ in told] == [1.0, 0.4]
        assert loss.item() == pytest.approx(float(total), rel=1e-5)
        assert torch.equal(logits, network(image))


def test_synthetic_features_weigh_as_many_scenes_as_they_are() -> None:
    network, labels = fitted().eval(), TOY.repeat(4, 4)[None]
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(8))
    with torch.no_grad():
        drawn = Drawn(network.encode(image).repeat(2, 1, 1, 1), labels.repeat(2, 1, 1).clamp(max=2), 0.0)
        real, both = network.loss(image, labels)[0], network.loss(image, labels, drawn)[0]
        heads = network.heads(drawn.feature_MCHW, (16, 16))
        beside = sum(weight * F.cross_entropy(logits, drawn.layout_MHW) for weight, logits in heads)
        assert both.item() == pytest.approx(float(real + 2 * beside) / 3, rel=1e-5)


def test_a_codebook_depends_on_the_patches_and_not_on_their_order() -> None:
    maps = list(torch.randint(4, (6, 12, 16), generator=torch.Generator().manual_seed(9)))
    first, again = (learn_codes(order, 5, classes=4, cell=2) for order in (maps, maps[::-1]))
    assert torch.equal(first, again)
    assert torch.allclose(first.sum(1), torch.ones(5, 2, 2), atol=1e-6)
    assert (first >= 0).all()


def test_a_codebook_begins_with_patches_of_one_class() -> None:
    codes = uniform_codes(5, classes=2, cell=4)
    assert codes.argmax(1).unique(dim=1).flatten(1)[:, 0].tolist() == [0, 1, 0, 1, 0]
    assert torch.equal(codes.amax((2, 3)), codes.amin((2, 3)))


def test_labels_without_a_whole_cell_are_refused() -> None:
    checkered = torch.where(torch.arange(64).view(8, 8) % 2 == 0, IGNORE, 1)
    with pytest.raises(
        MiaSegError, match=r"\[segmenter\] cell = 4: no 4 x 4 cell of the label maps is completely labelled"
    ):
        learn_codes([checkered], 4, classes=2, cell=4)


def test_it_learns_two_pairs_by_heart() -> None:
    torch.manual_seed(0)
    network = GSS(backbone="resnet18", codes=6, cell=2, dropout=0.0).build(3)
    labels = torch.stack(
        [
            TOY.repeat_interleave(6, 0).repeat_interleave(6, 1),
            TOY.flip(1).repeat_interleave(6, 0).repeat_interleave(6, 1),
        ]
    )
    image = (labels[:, None] / 255 + 0.2 * torch.rand(2, 3, 24, 24)).clamp(max=1)
    network.fit(zip(image, labels, strict=True))
    step = torch.optim.SGD(network.parameters(), 0.02, momentum=0.9)
    for _ in range(20):
        step.zero_grad()
        network.train().loss(image, labels)[0].backward()
        step.step()
    said, known = network.eval()(image).argmax(1), labels != IGNORE
    assert (said == labels)[known].float().mean() > 0.95
