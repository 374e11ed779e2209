"""MNIST, FashionMNIST and CIFAR-10 from a folder on the disk, downloaded by torchvision when asked.

Nothing is read whose checksum is wrong. torchvision, which knows the addresses and the checksums, is imported
only inside the functions: it takes seconds.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dgm.data.images import ImageSet

__all__ = ["cifar10", "fashion_mnist", "mnist", "read_idx"]

_SPLITS = ("train", "valid", "test")
_IDX_VALID = 10_000  # of the 60,000 training images, the last so many are the validation split
_CIFAR10_VALID = 5_000  # of the 50,000


def mnist(root: str | os.PathLike[str], split: str, *, download: bool = False) -> ImageSet:
    """Return one split of MNIST: 28x28 grey handwritten digits.

    The files (*-ubyte.gz) may lie in `root` itself or where torchvision puts them, in root/MNIST/raw. Only
    the two files of the split asked for are needed: a folder with the test files alone serves split="test".

    Args:
        root: the folder.
        split: "train" (the first 50,000 training images), "valid" (the last 10,000) or "test" (10,000).
        download: fetch what is missing into root/MNIST/raw; without it nothing ever touches the network.
    Returns:
        x uint8 (N, 1, 28, 28) in 0 .. 255, y int64 (N,) in 0 .. 9, levels 256.
    Raises:
        FileNotFoundError: a file is missing and `download` is False.
        ConnectionError: a download failed.
        ValueError: another split, or a file with a wrong checksum.
        ImportError: torchvision is not installed.

    Source: LeCun et al. 1998.
    """
    return _idx_images("MNIST", Path(root), split, download)


def fashion_mnist(root: str | os.PathLike[str], split: str, *, download: bool = False) -> ImageSet:
    """Return one split of FashionMNIST: 28x28 grey pictures of clothes, in MNIST's sizes and format.

    Args:
        root: the folder that holds the files (*-ubyte.gz), or holds FashionMNIST/raw with them.
        split: "train" (the first 50,000 training images), "valid" (the last 10,000) or "test" (10,000).
        download: fetch what is missing into root/FashionMNIST/raw.
    Returns:
        x uint8 (N, 1, 28, 28) in 0 .. 255, y int64 (N,) in 0 .. 9, levels 256.
    Raises:
        FileNotFoundError, ConnectionError, ValueError, ImportError: as for `mnist`.

    Source: Xiao et al. 2017.
    """
    return _idx_images("FashionMNIST", Path(root), split, download)


def cifar10(root: str | os.PathLike[str], split: str, *, download: bool = False) -> ImageSet:
    """Return one split of CIFAR-10: 32x32 colour photographs of ten kinds of things.

    Args:
        root: the folder that holds cifar-10-batches-py (all of it: torchvision checks every file).
        split: "train" (the first 45,000 training images), "valid" (the last 5,000) or "test" (10,000).
        download: fetch and unpack what is missing.
    Returns:
        x uint8 (N, 3, 32, 32) in 0 .. 255, y int64 (N,) in 0 .. 9, levels 256.
    Raises:
        FileNotFoundError, ConnectionError, ValueError, ImportError: as for `mnist`.

    Source: Krizhevsky 2009.
    """
    _check_split(split)
    dataset = _torchvision_datasets().CIFAR10
    folder = Path(root) / dataset.base_folder
    try:
        data = dataset(root, train=split != "test", download=download)
    except (OSError, RuntimeError) as error:
        if download:
            raise ConnectionError(
                _offline("CIFAR-10", error, f"unpack {dataset.filename} into {root}")
            ) from error
        if folder.exists():
            raise ValueError(
                f"a file in {folder} is missing or has a wrong checksum; delete the folder and call with "
                "download=True"
            ) from error
        raise FileNotFoundError(_missing("CIFAR-10", folder)) from error
    x = torch.as_tensor(data.data).permute(0, 3, 1, 2).contiguous()  # (N, 3, 32, 32)
    return _part(x, torch.as_tensor(data.targets), split, _CIFAR10_VALID)


def read_idx(path: str | os.PathLike[str]) -> Tensor:
    """Read a gzipped idx file of bytes: two zeros, the type 8, the number of axes, their sizes, the values.

    Args:
        path: a file such as t10k-images-idx3-ubyte.gz.
    Returns:
        uint8, of the shape that the file states.
    Raises:
        ValueError: the file is no gzipped idx file of bytes, or is cut short.
    """
    try:
        with gzip.open(path, "rb") as file:
            data = file.read()
    except (gzip.BadGzipFile, EOFError) as error:
        raise ValueError(f"{path} is not a whole gzip file ({error}); fetch it anew") from error
    if data[:3] != b"\x00\x00\x08" or len(data) < 4 or len(data) < 4 + 4 * data[3]:
        raise ValueError(
            f"{path} is no idx file of bytes: it begins with {data[:4].hex(' ')}, not with 00 00 08"
        )
    axes = data[3]
    shape = [int(size) for size in np.frombuffer(data, ">u4", count=axes, offset=4)]
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * axes)
    if values.size != math.prod(shape):
        raise ValueError(f"{path} states shape {tuple(shape)} but holds {values.size} values; fetch it anew")
    return torch.from_numpy(values.reshape(shape).copy())


def _idx_images(name: str, root: Path, split: str, download: bool) -> ImageSet:
    _check_split(split)
    dataset = getattr(_torchvision_datasets(), name)
    prefix = "t10k" if split == "test" else "train"
    checksums = {file: md5 for file, md5 in dataset.resources if file.startswith(prefix)}
    images, labels = (
        read_idx(_find(dataset, root, file, checksums[file], download))
        for file in (f"{prefix}-images-idx3-ubyte.gz", f"{prefix}-labels-idx1-ubyte.gz")
    )
    return _part(images[:, None], labels.long(), split, _IDX_VALID)


def _find(dataset: Any, root: Path, file: str, md5: str, download: bool) -> Path:
    """Return the path of one file with the right checksum, in `root` or in torchvision's layout."""
    name = dataset.__name__
    raw = root / name / "raw"
    found = [path for path in (root / file, raw / file) if path.is_file()]
    for path in found:
        if _md5(path) == md5:
            return path
    if not download:
        if found:
            raise ValueError(
                f"{found[0]} has md5 {_md5(found[0])}, but {name}'s {file} has {md5}; it is damaged or of "
                "another data set: delete it and call with download=True"
            )
        raise FileNotFoundError(_missing(name, root / file, raw / file))
    from torchvision.datasets.utils import download_url

    errors = []
    for mirror in dataset.mirrors:
        try:
            download_url(f"{mirror}{file}", raw, filename=file, md5=md5)
            return raw / file
        except (OSError, RuntimeError) as error:
            errors.append(error)
    raise ConnectionError(_offline(name, errors[-1], f"put {file} into {raw}")) from errors[-1]


def _part(x: Tensor, y: Tensor, split: str, valid: int) -> ImageSet:
    """Cut the last `valid` training images off as the validation split; the test split stays whole."""
    if split == "test":
        return ImageSet(x, y, 256)
    cut = len(x) - valid
    return ImageSet(x[:cut], y[:cut], 256) if split == "train" else ImageSet(x[cut:], y[cut:], 256)


def _check_split(split: str) -> None:
    if split not in _SPLITS:
        raise ValueError(f"split must be one of {', '.join(_SPLITS)}, got {split!r}")


def _torchvision_datasets() -> Any:
    try:
        from torchvision import datasets
    except ImportError as error:
        raise ImportError(
            "this data set needs torchvision, which the course's environment has: pip install torchvision"
        ) from error
    return datasets


def _md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _missing(name: str, *places: Path) -> str:
    return (
        f"{name}: there is no {' and no '.join(map(str, places))}; call with download=True to fetch it, "
        "or copy the files there"
    )


def _offline(name: str, error: Exception, by_hand: str) -> str:
    return f"could not download {name} ({error}); is there a network? You can also {by_hand} by hand"
