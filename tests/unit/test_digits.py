"""dgm.data: digits, their augmentation, image sets and batches."""

import pytest
import torch
from sklearn import datasets
from torch.nn import functional as F

from dgm.data import Batches, ImageSet, augment_digits, from_pm1, load_digits, to_pm1

NONE = {"degrees": 0.0, "scale": 0.0, "shift": 0.0, "shear": 0.0}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# The splits


def test_splits_are_scikit_learns_images_in_order():
    images, labels = datasets.load_digits(return_X_y=True)
    parts = [load_digits(split) for split in ("train", "valid", "test")]
    assert [len(part) for part in parts] == [1000, 350, 447]
    x, y = torch.cat([part.x for part in parts]), torch.cat([part.y for part in parts])
    assert torch.equal(x.flatten(1).double(), torch.as_tensor(images))  # no value was rounded
    assert torch.equal(y, torch.as_tensor(labels).long())
    for part in parts:
        assert part.x.dtype == torch.uint8
        assert part.y.dtype == torch.int64
        assert part.x.shape[1:] == (1, 8, 8)
        assert (part.x.min(), part.x.max(), part.levels, part.dims) == (0, 16, 17, 64)
        assert set(part.y.tolist()) == set(range(10))


def test_splits_share_no_image():
    seen = [
        {bytes(image.flatten().tolist()) for image in load_digits(s).x} for s in ("train", "valid", "test")
    ]
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]
    assert [len(images) for images in seen] == [1000, 350, 447]  # nor is any image twice in its own split


def test_load_digits_gives_the_callers_own_tensors():
    load_digits("valid").x.zero_()
    assert load_digits("valid").x.sum() > 0
    with pytest.raises(ValueError, match="split must be one of train, valid, test, got 'dev'"):
        load_digits("dev")


# Augmentation


def test_augmenting_by_nothing_gives_the_input_back():
    x = load_digits("train").x
    assert torch.equal(
        augment_digits(x, generator(), **NONE), x
    )  # the bitmap has the counts that it must have


def test_augmented_digits_keep_range_ink_and_histogram():
    x = load_digits("train").x
    new = augment_digits(x, generator())
    assert new.shape == x.shape
    assert new.dtype == torch.uint8
    assert new.max() == 16
    assert abs(new.double().mean() / x.double().mean() - 1) < 0.03

    def histogram(images):
        return torch.bincount(images.flatten().long(), minlength=17) / images.numel()

    def variation(images):
        return (histogram(images) - histogram(x)).abs().sum() / 2

    # a warp of the 8x8 image itself (here by half a pixel) loses the zeros and the solid ink
    warped = F.avg_pool2d(F.pad(x.double(), (0, 1, 0, 1)), 2, stride=1).round().to(torch.uint8)
    assert variation(new) < 0.03 < 0.15 < variation(warped)


def test_augmentation_is_the_generators_alone():
    x = load_digits("valid").x
    kept, before = x.clone(), torch.get_rng_state()
    one, two = augment_digits(x, generator(1)), augment_digits(x, generator(1))
    other = augment_digits(x, generator(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(x, kept)
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    same = augment_digits(x[:1].expand(20, 1, 8, 8), generator())
    assert len({bytes(image.flatten().tolist()) for image in same}) > 15  # each image has its own distortion


def _moments(x):
    """Centre (cx, cy) and central second moments (xx, xy, yy) of the ink, in pixels."""
    w = x.double().flatten(1) / x.double().flatten(1).sum(1, keepdim=True)
    row, column = (
        index.flatten().double() for index in torch.meshgrid(*[torch.arange(8)] * 2, indexing="ij")
    )
    cx, cy = w @ column, w @ row
    dx, dy = column - cx[:, None], row - cy[:, None]
    return cx, cy, (w * dx * dx).sum(1), (w * dx * dy).sum(1), (w * dy * dy).sum(1)


def _blob(rows, columns):
    x = torch.zeros(4000, 1, 8, 8, dtype=torch.uint8)
    x[:, :, rows, columns] = 16
    return x


def test_augmentation_ranges_are_what_they_say():
    # a uniform number on [-a, a] has standard deviation a / sqrt(3) = .577 a
    square, bar = _blob(slice(2, 6), slice(2, 6)), _blob(slice(1, 7), slice(3, 5))

    cx, cy, *_ = _moments(augment_digits(square, generator(), **(NONE | {"shift": 0.5})))
    for centre in (cx, cy):
        assert centre.std().item() == pytest.approx(0.577 * 0.5, rel=0.1)
        assert centre.mean().item() == pytest.approx(3.5, abs=0.03)
    assert abs(torch.corrcoef(torch.stack([cx, cy]))[0, 1]) < 0.08

    # with shifts too, so that the straight edges do not all meet the grid of the bitmap at one place
    ink = (
        augment_digits(square, generator(), **(NONE | {"scale": 0.08, "shift": 0.5})).double().sum((1, 2, 3))
    )
    side = (ink / ink.median()).sqrt()
    assert side.std().item() == pytest.approx(0.577 * 0.08, rel=0.2)

    _, _, xx, xy, yy = _moments(augment_digits(bar, generator(), **(NONE | {"degrees": 8.0})))
    degrees = torch.rad2deg(0.5 * torch.atan2(2 * xy, yy - xx))  # of the long axis against the vertical
    assert degrees.std().item() == pytest.approx(0.577 * 8, rel=0.1)
    assert abs(degrees.mean()) < 0.3

    _, _, xx, xy, yy = _moments(augment_digits(bar, generator(), **(NONE | {"shear": 0.1})))
    assert (xy / yy).std().item() == pytest.approx(0.577 * 0.1, rel=0.1)  # x moves by k y, so xy = k yy


def test_the_distortions_are_independent_of_one_another():
    bar = _blob(slice(1, 7), slice(3, 5))
    new = augment_digits(bar, generator(), **(NONE | {"scale": 0.08, "shear": 0.1, "shift": 0.5}))
    cx, cy, _, xy, yy = _moments(new)
    size, shear = new.double().sum((1, 2, 3)), xy / yy
    correlations = torch.corrcoef(torch.stack([cx, cy, size, shear])) - torch.eye(4)
    assert correlations.abs().max() < 0.08  # 4 / sqrt(4000) = .063 is four standard errors


def test_augment_refuses_other_images():
    with pytest.raises(ValueError, match=r"x must be uint8 \(N, 1, 8, 8\).*augment before to_pm1"):
        augment_digits(torch.zeros(2, 1, 8, 8))
    with pytest.raises(ValueError, match=r"got torch.uint8 \(2, 64\)"):
        augment_digits(torch.zeros(2, 64, dtype=torch.uint8))


# Images


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_levels_go_to_pm1_and_back(levels):
    x = torch.arange(levels).to(torch.uint8)
    pm1 = to_pm1(x, levels, dtype=torch.float64)
    torch.testing.assert_close(pm1, torch.linspace(-1, 1, levels, dtype=torch.float64))
    assert torch.equal(from_pm1(pm1, levels), x)
    assert torch.equal(from_pm1(to_pm1(x, levels), levels), x)
    third = 2 / (levels - 1) / 3  # a third of a level: rounds back
    assert torch.equal(from_pm1(pm1 + third, levels), x)
    assert torch.equal(from_pm1(pm1 - third, levels), x)
    assert from_pm1(torch.tensor([-7.0, 7.0, float("inf")]), levels).tolist() == [0, levels - 1, levels - 1]


def test_images_refuse_what_is_no_image():
    x, y = torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64)
    assert len(ImageSet(x, y, 17)) == 3
    assert ImageSet(x, y, 17).dims == 4
    with pytest.raises(ValueError, match="x must be uint8"):
        ImageSet(x.float(), y, 17)
    with pytest.raises(ValueError, match=r"y must be int64 \(N,\) = \(3,\)"):
        ImageSet(x, y[:2], 17)
    with pytest.raises(ValueError, match=r"x must lie in 0 .. 16, got 17"):
        ImageSet(x + 17, y, 17)
    with pytest.raises(ValueError, match=r"levels must lie in 2 .. 256"):
        ImageSet(x, y, 257)
    with pytest.raises(ValueError, match="x holds NaN"):
        from_pm1(torch.tensor([float("nan")]), 17)
    with pytest.raises(ValueError, match="must be real numbers"):
        from_pm1(x, 17)
    with pytest.raises(ValueError, match="levels must lie in"):
        to_pm1(x, 1)


# Batches


def test_an_epoch_deals_every_example_once_and_drops_the_rest():
    data = torch.arange(10)
    batches = Batches(data, batch_size=3, generator=generator())
    assert batches.per_epoch == 3
    epochs = [torch.cat([next(batches) for _ in range(3)]).tolist() for _ in range(40)]
    assert all(len(set(epoch)) == 9 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 40  # a fresh permutation each time
    assert {i for epoch in epochs for i in epoch} == set(range(10))  # what is dropped changes
    assert batches.epoch == 40


def test_an_epoch_of_whole_batches_leaves_nothing_out():
    batches = Batches(torch.arange(10), batch_size=5, generator=generator())
    for _ in range(5):
        assert torch.cat([next(batches), next(batches)]).sort().values.tolist() == list(range(10))


def test_tuples_stay_aligned_and_one_tensor_is_bare():
    x, y = torch.arange(10) * 2, torch.arange(10)
    for _, (a, b) in zip(range(7), Batches(x, y, batch_size=4, generator=generator()), strict=False):
        assert torch.equal(a, 2 * b)
    assert isinstance(next(Batches(x, batch_size=10)), torch.Tensor)


def test_batches_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    batches = Batches(torch.arange(10), batch_size=5, generator=generator())
    [next(batches) for _ in range(5)]
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("dealt", [0, 1, 2, 3, 5])
def test_batches_resume_in_mid_epoch(dealt):
    def fresh(seed):
        return Batches(torch.arange(100), batch_size=40, generator=generator(seed))

    first = fresh(0)
    for _ in range(dealt):
        next(first)
    state = first.state_dict()
    expected = [next(first) for _ in range(7)]
    second = fresh(99)
    next(second)
    second.load_state_dict(state)
    assert all(torch.equal(a, next(second)) for a in expected)
    assert second.epoch == first.epoch


def test_batches_errors():
    x = torch.arange(10)
    with pytest.raises(TypeError, match=r"got an ImageSet; pass its tensors: Batches\(images.x, images.y"):
        Batches(load_digits("test"), batch_size=1)
    with pytest.raises(TypeError, match=r"tensors of shape \(N, ...\), got a list; use torch.as_tensor"):
        Batches([1, 2], batch_size=1)
    with pytest.raises(TypeError, match=r"got a numpy array; use torch.from_numpy"):
        Batches(x.numpy(), batch_size=1)
    with pytest.raises(TypeError, match="got a 0-d tensor"):
        Batches(x[0], batch_size=1)
    with pytest.raises(ValueError, match="at least one tensor"):
        Batches(batch_size=1)
    with pytest.raises(ValueError, match=r"same length N, got \[10, 9\]"):
        Batches(x, x[:9], batch_size=1)
    with pytest.raises(ValueError, match=r"batch_size must lie in 1 .. N = 10, got 11"):
        Batches(x, batch_size=11)
    state = Batches(x, batch_size=5, generator=generator()).state_dict()
    with pytest.raises(ValueError, match="batch_size 5, these have 4"):
        Batches(x, batch_size=4, generator=generator()).load_state_dict(state)
    with pytest.raises(ValueError, match="length 10, these have 9"):
        Batches(x[:9], batch_size=5, generator=generator()).load_state_dict(state)
    with pytest.raises(ValueError, match="both have a generator, or neither"):
        Batches(x, batch_size=5).load_state_dict(state)
