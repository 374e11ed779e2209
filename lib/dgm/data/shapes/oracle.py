"""Reading the factors back from the pixels by analysis by synthesis: draw everything, take what fits best.

With coverage m of a template, background b and colour c, the squared error of an image x is, summed over
pixels,

    |x - b - m (c - b)|^2 = |x - b|^2 - 2 (c - b) . (sum_p x m - b sum_p m) + |c - b|^2 sum_p m^2,

so the images meet the templates in one matrix product, and the twelve pairs of colour and background come
almost for free. The templates stand on a coarse grid of jitters; a least-squares fit from the best of them
then finds the jitter itself, so what is left of a real image is nearly nothing. Nothing is learnt, so an
oracle can judge what a model drew without a bias of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dgm.data.shapes import clip, scene, single
from dgm.data.shapes.draw import backgrounds, colours, coverage
from dgm.data.shapes.factors import BACKGROUNDS, COLOURS, MOTIONS, SHAPES, all_factors, canonical_scenes

CLEAN_RMS = 0.06  # a picture with the right factors and a smaller misfit counts as clean
_JITTERS = (-0.7, 0.0, 0.7)  # in units of the largest jitter; the nearest is never more than 0.35 away
_RADIUS_JITTERS = (-0.5, 0.5)
_NUDGE = 0.2  # for finite differences, in units of the largest jitter: a tenth of a pixel at 16 pixels
_CHUNK = 256  # pictures at a time


@dataclass(frozen=True, eq=False)
class Reading:
    """What an oracle saw.

    Args:
        factors: int64 (N, fields), those of the best template.
        jitter: The jitter that fits best, in the shape that the renderer takes.
        rms: Root of the mean squared difference (N,) between the picture and what its factors and jitter
            draw, in the units of x in [-1, 1].
    """

    factors: Tensor
    jitter: Tensor
    rms: Tensor


class Oracle:
    """Reads the factors of one object: exact on real images of 16 and 32 pixels.

    Args:
        size: Pixels along each side of the images to read.
    """

    def __init__(self, size: int = 16) -> None:
        self.size = size
        rows = all_factors()
        rows = rows[(rows[:, 1] == 0) & (rows[:, 5] == 0)]  # colour and background are solved for: (108, 6)
        grid = torch.cartesian_prod(*map(torch.tensor, (_JITTERS, _JITTERS, _RADIUS_JITTERS)))  # (18, 3)
        self._rows = rows.repeat_interleave(len(grid), dim=0)  # (1944, 6)
        self._jitter = grid.repeat(len(rows), 1)  # (1944, 3)
        x, y, radius = single.geometry(self._rows, self._jitter)
        self._masks = coverage(self._rows[:, 0], x, y, radius, size).flatten(1)  # (1944, P)

    def read(self, x: Tensor) -> Reading:
        """Read images (N, 3, size, size) in [-1, 1].

        Returns:
            Factors (N, 6) as in FIELDS, jitter (N, 3) and misfit (N,).
        """
        _check_images(x, (3, self.size, self.size))
        return _in_parts(self._read, x)

    def _read(self, x: Tensor) -> Reading:
        errors = _errors(x, self._masks.to(x))  # (N, 2, 6, T)
        background, colour, template = torch.unravel_index(errors.flatten(1).argmin(dim=1), errors.shape[1:])
        factors = self._rows.to(x.device)[template]
        factors[:, 1], factors[:, 5] = colour, background
        return _refine(x, factors, self._jitter.to(x)[template], single.render)


class SceneOracle:
    """Reads the factors of two objects, told with "left of" and "above" (see ``canonical_scenes``).

    The two places of an axis do not overlap, so each object is fitted on its own and the gains add up.

    Args:
        size: Pixels along each side of the images to read.
    """

    def __init__(self, size: int = 16) -> None:
        self.size = size
        number = torch.arange(len(SHAPES))
        grid = torch.cartesian_prod(torch.tensor(_JITTERS), torch.tensor(_RADIUS_JITTERS))  # (6, 2)
        self._shapes = number.repeat_interleave(len(grid))  # (36,)
        self._jitter = grid.repeat(len(number), 1)  # (36, 2)
        masks = []
        for direction in scene.DIRECTIONS:  # left, right, top, bottom
            towards = torch.tensor([direction], dtype=torch.float32).expand(len(self._jitter), 2)
            x, y, radius = scene.slot(towards, self._jitter)
            masks.append(coverage(self._shapes, x, y, radius, size).flatten(1))
        self._masks = torch.cat(masks)  # (4 * 36, P)

    def read(self, x: Tensor) -> Reading:
        """Read images (N, 3, size, size) in [-1, 1].

        Returns:
            Canonical factors (N, 6) as in SCENE_FIELDS, jitter (N, 2, 2) and misfit (N,).
        """
        _check_images(x, (3, self.size, self.size))
        return _in_parts(self._read, x)

    def agrees(self, x: Tensor, factors: Tensor) -> Tensor:
        """Return where (N,) the images show all that the factors (N, 6) say, however they say it."""
        return (self.read(x).factors == canonical_scenes(factors)).all(dim=1)

    def _read(self, x: Tensor) -> Reading:
        plain = _background_errors(x)  # (N, 2)
        gains = _gains(x, self._masks.to(x)).unflatten(3, (2, 2, len(self._shapes)))
        gains = gains.permute(0, 1, 3, 4, 2, 5)  # (N, background, axis, place, colour, template)
        gain, best = gains.flatten(4).min(dim=4)  # (N, 2, 2, 2): the best object in each place
        choice = (plain[:, :, None] + gain.sum(dim=3)).flatten(1).argmin(dim=1)
        background, axis = torch.unravel_index(choice, (2, 2))
        objects = best[torch.arange(len(x), device=x.device), background, axis]  # (N, 2)
        colour, template = torch.unravel_index(objects, (len(COLOURS), len(self._shapes)))
        shape = self._shapes.to(x.device)[template]  # (N, 2)
        columns = [shape[:, 0], colour[:, 0], 2 * axis, shape[:, 1], colour[:, 1], background]
        jitter = self._jitter.to(x)[template]  # (N, 2, 2)
        return _refine(x, torch.stack(columns, dim=1), jitter, scene.render_scenes)


class ClipOracle:
    """Reads the factors of clips, by one fit over all frames.

    Args:
        size: Pixels along each side of the frames to read.
    """

    def __init__(self, size: int = 16) -> None:
        self.size = size
        rows = torch.cartesian_prod(torch.arange(len(SHAPES)), torch.arange(len(MOTIONS)))  # (42, 2)
        grid = torch.cartesian_prod(torch.tensor(_JITTERS), torch.tensor(_JITTERS))  # (9, 2)
        self._rows = rows.repeat_interleave(len(grid), dim=0)  # (378, 2)
        self._jitter = grid.repeat(len(rows), 1)  # (378, 2)
        x, y, radius = (part.flatten() for part in clip.path(self._rows[:, 1], self._jitter))
        shape = self._rows[:, 0].repeat_interleave(clip.FRAMES)
        self._masks = coverage(shape, x, y, radius, size).view(len(self._rows), -1)  # (378, 8 * P)

    def read(self, x: Tensor) -> Reading:
        """Read clips (N, 8, 3, size, size) in [-1, 1].

        Returns:
            Factors (N, 4) as in CLIP_FIELDS, jitter (N, 2) and misfit (N,).
        """
        _check_images(x, (clip.FRAMES, 3, self.size, self.size))
        return _in_parts(self._read, x)

    def _read(self, x: Tensor) -> Reading:
        tall = x.transpose(1, 2)  # (N, 3, 8, S, S): to the search a clip is one tall image
        errors = _errors(tall, self._masks.to(x))  # (N, 2, 6, T)
        background, colour, template = torch.unravel_index(errors.flatten(1).argmin(dim=1), errors.shape[1:])
        shape, motion = self._rows.to(x.device)[template].unbind(dim=1)
        factors = torch.stack([shape, colour, motion, background], dim=1)
        return _refine(x, factors, self._jitter.to(x)[template], clip.render_clips)


def _errors(x: Tensor, masks: Tensor) -> Tensor:
    """Return the squared error (N, backgrounds, colours, T) of images (N, 3, ...) from templates (T, P)."""
    return _background_errors(x)[:, :, None, None] + _gains(x, masks)


def _background_errors(x: Tensor) -> Tensor:
    """Return the squared distance (N, 2) of images (N, 3, ...) from each plain background."""
    plain = backgrounds(torch.arange(len(BACKGROUNDS), device=x.device), x.dtype)  # (2, 3)
    return (x.flatten(2)[:, None] - plain[:, :, None]).square().sum(dim=(2, 3))


def _gains(x: Tensor, masks: Tensor) -> Tensor:
    """Return how the squared error changes when a template is painted on a plain background.

    Args:
        x: Images (N, 3, ...) of P pixels.
        masks: Coverage of the templates (T, P).

    Returns:
        (N, backgrounds, colours, T); negative where painting helps.
    """
    plain = backgrounds(torch.arange(len(BACKGROUNDS), device=x.device), x.dtype)  # (2, 3)
    inks = colours(torch.arange(len(COLOURS), device=x.device), x.dtype)  # (6, 3)
    step = inks - plain[:, None]  # (2, 6, 3): c - b
    area, area2 = masks.sum(dim=1), masks.square().sum(dim=1)  # (T,)
    # What no image enters: 2 (c - b) . b sum_p m + |c - b|^2 sum_p m^2.
    fixed = 2 * (step * plain[:, None]).sum(dim=2, keepdim=True) * area
    fixed = fixed + step.square().sum(dim=2, keepdim=True) * area2  # (2, 6, T)
    match = x.flatten(2) @ masks.T  # (N, 3, T): sum_p x m
    weights = -2 * step.flatten(0, 1).expand(len(x), -1, -1)  # (N, 12, 3)
    return torch.baddbmm(fixed.flatten(0, 1)[None], weights, match).unflatten(1, step.shape[:2])


def _refine(
    x: Tensor, factors: Tensor, jitter: Tensor, draw: Callable[[Tensor, int, Tensor], Tensor], steps: int = 3
) -> Reading:
    """Fit the jitter of known factors to the images by Gauss-Newton steps, shortened where they do not help.

    Args:
        x: Images (N, ...).
        factors: What the images show (N, fields).
        jitter: Where to start (N, ...).
        draw: The renderer that takes factors, size and jitter.
        steps: Number of steps.

    Returns:
        The factors, the fitted jitter and the misfit that is left.
    """
    size, shape = x.shape[-1], jitter.shape
    flat = jitter.flatten(1)  # (N, K)
    drawn = draw(factors, size, jitter)
    error = (x - drawn).square().flatten(1).mean(dim=1)  # (N,)
    stride = torch.ones_like(error)  # (N,)
    for _ in range(steps):
        slopes = []
        for k in range(flat.shape[1]):
            nudge = torch.zeros_like(flat)
            nudge[:, k] = _NUDGE
            # To both sides: an edge on a pixel's border changes another pixel when it moves left than right.
            after = draw(factors, size, (flat + nudge).view(shape))
            before = draw(factors, size, (flat - nudge).view(shape))
            slopes.append((after - before).flatten(1) / (2 * _NUDGE))
        jacobian = torch.stack(slopes, dim=2)  # (N, D, K)
        normal = jacobian.mT @ jacobian  # (N, K, K)
        ridge = 1e-3 * normal.diagonal(dim1=1, dim2=2).mean(dim=1) + 1e-6  # (N,)
        normal = normal + ridge[:, None, None] * torch.eye(flat.shape[1], dtype=x.dtype, device=x.device)
        pull = jacobian.mT @ (x - drawn).flatten(1)[:, :, None]  # (N, K, 1)
        tried = (flat + stride[:, None] * torch.linalg.solve(normal, pull)[:, :, 0]).clamp(-1.5, 1.5)
        redrawn = draw(factors, size, tried.view(shape))
        new_error = (x - redrawn).square().flatten(1).mean(dim=1)
        better = new_error < error  # (N,)
        stride = torch.where(better, stride, 0.4 * stride)
        flat = torch.where(better[:, None], tried, flat)
        error = torch.where(better, new_error, error)
        drawn = torch.where(better.view(-1, *[1] * (x.dim() - 1)), redrawn, drawn)
    return Reading(factors, flat.view(shape), error.sqrt())


def _in_parts(read: Callable[[Tensor], Reading], x: Tensor) -> Reading:
    parts = [read(part) for part in x.split(_CHUNK)]
    return Reading(
        torch.cat([part.factors for part in parts]),
        torch.cat([part.jitter for part in parts]),
        torch.cat([part.rms for part in parts]),
    )


def _check_images(x: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(x.shape[1:]) != shape or not x.is_floating_point():
        wanted = ", ".join(map(str, shape))
        raise ValueError(f"x must be floating point (N, {wanted}) in [-1, 1], got {x.dtype} {tuple(x.shape)}")
