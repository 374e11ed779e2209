"""Generators and discriminators: MLPs for points and digits, DCGAN for 8, 28, 32 and 64 pixels.

Generators map z (B, D), and labels y (B,) where they have classes, to images in [-1, 1]. Discriminators map
images, and labels, to logits (B,); `features` gives the hidden layer before.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgm.gan.cures import MinibatchStd
from dgm.tensor import check_shape

SLOPE = 0.2  # of the leaky ReLU below zero, as in DCGAN
STARTS = {8: 2, 28: 7, 32: 4, 64: 4}  # side of the image -> side of the coarsest feature map


class MLPGenerator(nn.Module):
    """An MLP from noise (and a label) to a sample.

    Args:
        latents: D, width of the noise.
        shape: of one sample, such as (1, 8, 8) or (2,).
        hidden: widths of the hidden layers.
        classes: number of labels; 0 for none. A label enters as a one-hot vector beside z.
        batch_norm: after every hidden linear layer.
        bounded: tanh at the end, for samples in [-1, 1].

    Source: Goodfellow et al. 2014; batch norm and tanh: Radford et al. 2016.
    """

    def __init__(
        self,
        latents: int,
        shape: tuple[int, ...],
        hidden: tuple[int, ...] = (256, 256),
        *,
        classes: int = 0,
        batch_norm: bool = True,
        bounded: bool = True,
    ) -> None:
        super().__init__()
        self.latents, self.shape, self.classes = latents, tuple(shape), classes
        layers: list[nn.Module] = []
        for size_in, size_out in pairwise((latents + classes, *hidden)):
            layers.append(nn.Linear(size_in, size_out, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm1d(size_out))
            layers.append(nn.ReLU())
        layers.append(nn.Linear((latents + classes, *hidden)[-1], torch.Size(shape).numel()))
        if bounded:
            layers.append(nn.Tanh())
        self.net = nn.Sequential(*layers)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Map z (B, D), and y (B,) where there are classes, to (B, *shape)."""
        check_shape("z", z, ("B", self.latents))
        if self.classes:
            z = torch.cat([z, F.one_hot(_labels(y, self.classes), self.classes).to(z.dtype)], dim=1)
        return self.net(z).reshape(len(z), *self.shape)


class MLPDiscriminator(nn.Module):
    r"""An MLP from a sample to a logit, with a projection of the label where there are classes.

    $l(x, y) = w \cdot h(x) + b + e_y \cdot h(x)$: the embedding of the label asks "does this look like y?".

    Args:
        shape: of one sample.
        hidden: widths of the hidden layers.
        classes: number of labels; 0 for none.
        minibatch_std: append `MinibatchStd`'s feature to the last hidden layer.

    Source: Goodfellow et al. 2014; projection: Miyato & Koyama 2018, eq. (3).
    Test: tests/unit/test_gan.py::test_projection_discriminator_is_its_formula
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        hidden: tuple[int, ...] = (256, 256),
        *,
        classes: int = 0,
        minibatch_std: bool = False,
    ) -> None:
        super().__init__()
        self.shape, self.classes = tuple(shape), classes
        sizes = (torch.Size(shape).numel(), *hidden)
        layers: list[nn.Module] = [nn.Flatten()]
        for size_in, size_out in pairwise(sizes):
            layers += [nn.Linear(size_in, size_out), nn.LeakyReLU(SLOPE)]
        self.net = nn.Sequential(*layers)
        self.batch_statistics = MinibatchStd() if minibatch_std else None
        self.head = nn.Linear(sizes[-1] + minibatch_std, 1)
        self.embedding = nn.Embedding(classes, sizes[-1]) if classes else None
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, std=sizes[-1] ** -0.5)  # e_y . h of the order of w . h

    def features(self, x: Tensor) -> Tensor:
        """The last hidden layer: (B, hidden[-1])."""
        h: Tensor = self.net(x)
        return h

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Map x (B, *shape), and y (B,) where there are classes, to logits (B,)."""
        h = self.features(x)  # (B, F)
        seen = h if self.batch_statistics is None else self.batch_statistics(h)
        logits: Tensor = self.head(seen)[:, 0]  # (B,)
        if self.embedding is not None:
            logits = logits + (self.embedding(_labels(y, self.classes)) * h).sum(1)
        return logits


class DCGANGenerator(nn.Module):
    """Transposed convolutions that double the side, with batch norm and ReLU, from noise to an image.

    8 pixels from 2, 28 from 7, 32 and 64 from 4; `width` channels before the last layer, twice as many at
    each coarser one. Weights start at N(0, .02^2).

    Args:
        side: 8, 28, 32 or 64 pixels.
        latents: D, width of the noise.
        channels: of the image.
        width: channels of the finest hidden feature map (64 in the paper, for 64 pixels).

    Raises:
        ValueError: on another side.

    Source: Radford, Metz & Chintala 2016.
    """

    def __init__(self, side: int, *, latents: int = 64, channels: int = 1, width: int = 32) -> None:
        super().__init__()
        start, doublings = _plan(side)
        self.latents, self.shape = latents, (channels, side, side)
        wide = width * 2 ** (doublings - 1)
        layers: list[nn.Module] = [
            nn.Unflatten(1, (latents, 1, 1)),
            nn.ConvTranspose2d(latents, wide, start, bias=False),  # (B, wide, start, start)
            nn.BatchNorm2d(wide),
            nn.ReLU(),
        ]
        for i in range(doublings - 1):
            c = wide // 2**i
            layers += [
                nn.ConvTranspose2d(c, c // 2, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(c // 2),
                nn.ReLU(),
            ]
        layers += [nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1), nn.Tanh()]
        self.net = nn.Sequential(*layers).apply(_initialise)

    def forward(self, z: Tensor) -> Tensor:
        """Map z (B, D) to images (B, C, side, side) in [-1, 1]."""
        check_shape("z", z, ("B", self.latents))
        out: Tensor = self.net(z)
        return out


class DCGANDiscriminator(nn.Module):
    """Strided convolutions that halve the side, with leaky ReLU, from an image to a logit.

    The mirror image of `DCGANGenerator`. Batch norm stands after every convolution but the first, as in the
    paper; without it (for penalties on gradients, which need samples apart) the layers have biases instead.

    Args:
        side: 8, 28, 32 or 64 pixels.
        channels: of the image.
        width: channels of the finest feature map.
        batch_norm: as in the paper; False for WGAN-GP, R1 and spectral norm.

    Raises:
        ValueError: on another side.

    Source: Radford, Metz & Chintala 2016.
    """

    def __init__(self, side: int, *, channels: int = 1, width: int = 32, batch_norm: bool = True) -> None:
        super().__init__()
        start, halvings = _plan(side)
        self.shape = (channels, side, side)
        layers: list[nn.Module] = []
        c_in = channels
        for i in range(halvings):
            c_out, norm = width * 2**i, batch_norm and i > 0
            layers.append(nn.Conv2d(c_in, c_out, 4, stride=2, padding=1, bias=not norm))
            if norm:
                layers.append(nn.BatchNorm2d(c_out))
            layers.append(nn.LeakyReLU(SLOPE))
            c_in = c_out
        self.net = nn.Sequential(*layers).apply(_initialise)
        self.head = nn.Conv2d(c_in, 1, start).apply(_initialise)  # the whole map to one number

    def features(self, x: Tensor) -> Tensor:
        """The last feature map, flat: (B, F)."""
        check_shape("x", x, ("B", *self.shape))
        return self.net(x).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, C, side, side) to logits (B,)."""
        check_shape("x", x, ("B", *self.shape))
        return self.head(self.net(x)).flatten()


def _plan(side: int) -> tuple[int, int]:
    """Side of the coarsest map, and how often it doubles up to the image."""
    if side not in STARTS:
        raise ValueError(f"side must be one of {', '.join(map(str, STARTS))} pixels, got {side}")
    return STARTS[side], (side // STARTS[side]).bit_length() - 1


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, std=0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, mean=1.0, std=0.02)


def _labels(y: Tensor | None, classes: int) -> Tensor:
    if y is None:
        raise ValueError(f"the network has {classes} classes and needs labels y (B,), got none")
    check_shape("y", y, ("B",), "one integer per sample")
    return y
