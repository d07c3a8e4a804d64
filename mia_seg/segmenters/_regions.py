"""Superpixels of images, and the mean of what lies in each: batched, on the images' device, without a dependency.

SLIC (Achanta et al., TPAMI 2012) as gSLIC (Ren & Reid, 2011) computes it: each pixel takes one of the nine regions
around its place on the grid, so that all pixels are assigned at once.
"""

from itertools import product

import torch
from torch import Tensor

ROUNDS = 5
# Squared distances in RGB and in places weigh alike where a colour differs by this much and a place by one grid cell.
COMPACTNESS = 0.2


@torch.no_grad()
def superpixels(image_N3HW: Tensor, pixels: int) -> tuple[Tensor, int]:
    """The region that each pixel belongs to, of `pixels` pixels on average: int64 [N, H, W] from 0, and their number.

    image_N3HW: RGB in 0..1. The same image gives the same regions on every call on a CPU. A region may lie in several
    pieces, or lose all its pixels to others.
    """
    grid = (_cells(image_N3HW.shape[2], pixels), _cells(image_N3HW.shape[3], pixels))
    sides = zip(image_N3HW.shape[2:], grid, strict=True)
    along = [torch.arange(side, device=image_N3HW.device) * cells // side for side, cells in sides]
    feature_N5HW = _features(image_N3HW.float(), grid)
    region_NHW = (along[0][:, None] * grid[1] + along[1]).expand(len(image_N3HW), -1, -1)
    centre_N5R = means(feature_N5HW, region_NHW, grid[0] * grid[1])
    for _ in range(ROUNDS):
        region_NHW = _nearest(feature_N5HW, centre_N5R.view(-1, 5, *grid), along)
        centre_N5R = means(feature_N5HW, region_NHW, grid[0] * grid[1], empty=centre_N5R)
    return region_NHW, grid[0] * grid[1]


def pool(x_NCHW: Tensor, region_NHW: Tensor, regions: int) -> Tensor:
    """Every pixel as the mean of its region, float32 (thesis, equations 3.1 and 3.5): [N, C, H, W]."""
    mean_NCR = means(x_NCHW.float(), region_NHW, regions)
    return mean_NCR.gather(2, _index(region_NHW, x_NCHW.shape[1])).view(x_NCHW.shape)


def means(x_NCHW: Tensor, region_NHW: Tensor, regions: int, *, empty: Tensor | None = None) -> Tensor:
    """The mean of each region [N, C, R]; of those without pixels 0, or what `empty` has."""
    index_NCP = _index(region_NHW, x_NCHW.shape[1])
    sum_NCR = x_NCHW.new_zeros((*x_NCHW.shape[:2], regions)).scatter_add(2, index_NCP, x_NCHW.flatten(2))
    ones_N1P = torch.ones_like(index_NCP[:, :1], dtype=x_NCHW.dtype)
    size_N1R = x_NCHW.new_zeros((len(x_NCHW), 1, regions)).scatter_add(2, index_NCP[:, :1], ones_N1P)
    mean_NCR = sum_NCR / size_N1R.clamp(min=1)
    return mean_NCR if empty is None else torch.where(size_N1R > 0, mean_NCR, empty)


def _index(region_NHW: Tensor, channels: int) -> Tensor:
    return region_NHW.flatten(1)[:, None].expand(-1, channels, -1)


def _cells(side: int, pixels: int) -> int:
    """Rows or columns of the grid along one side of an image."""
    return max(1, round(side / pixels**0.5))


def _features(image_N3HW: Tensor, grid: tuple[int, int]) -> Tensor:
    """Colour, and place in cells of the grid times COMPACTNESS: float32 [N, 5, H, W]."""
    sides = zip(image_N3HW.shape[-2:], grid, strict=True)
    places = [COMPACTNESS * cells / side * torch.arange(side, device=image_N3HW.device) for side, cells in sides]
    place_2HW = torch.stack(torch.meshgrid(*places, indexing="ij"))
    return torch.cat([image_N3HW, place_2HW.expand(len(image_N3HW), -1, -1, -1)], 1)


def _nearest(feature_N5HW: Tensor, centre_N5hw: Tensor, along: list[Tensor]) -> Tensor:
    """Of the regions around each pixel's place on the grid the one whose centre is nearest: int64 [N, H, W]."""
    least_NHW = feature_N5HW.new_full((len(feature_N5HW), *feature_N5HW.shape[2:]), torch.inf)
    region_NHW = torch.zeros_like(least_NHW, dtype=torch.int64)
    for y, x in product((-1, 0, 1), repeat=2):
        row, column = (_beside(a, by, most) for a, by, most in zip(along, (y, x), centre_N5hw.shape[2:], strict=True))
        centre_N5HW = centre_N5hw.index_select(2, row).index_select(3, column)
        distance_NHW = centre_N5HW.sub_(feature_N5HW).square_().sum(1)
        told_HW = row[:, None] * centre_N5hw.shape[3] + column
        region_NHW = torch.where(distance_NHW < least_NHW, told_HW, region_NHW)
        least_NHW = torch.minimum(distance_NHW, least_NHW)
    return region_NHW


def _beside(along: Tensor, step: int, most: int) -> Tensor:
    """The row of the grid a step away from each pixel's, or the last one before its edge: int64 [side]."""
    return (along + step).clamp(0, most - 1)
