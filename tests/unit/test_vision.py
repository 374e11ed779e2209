"""dgm.data.vision: MNIST, FashionMNIST and CIFAR-10 from folders, with files that the tests write."""

import gzip
import hashlib
import os
import pickle
import struct
import subprocess
import sys
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch

from dgm.data import cifar10, fashion_mnist, mnist
from dgm.data import vision as vision_module
from dgm.data.vision import read_idx

MNIST_DIR = Path(os.environ.get("DGM_MNIST_DIR", Path(__file__).parents[3] / "shared" / "data" / "mnist"))


def idx_bytes(array):
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes(), compresslevel=1)


def md5(data):
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@pytest.fixture(scope="module")
def files():
    """Files by name: 60,000 and 10,000 tiny images of 1x2 pixels that spell their own index."""
    made = {}
    for prefix, n in (("train", 60_000), ("t10k", 10_000)):
        index = np.arange(n)
        pixels = np.stack([index % 256, index // 256], axis=1).reshape(n, 1, 2)
        made[f"{prefix}-images-idx3-ubyte.gz"] = idx_bytes(pixels)
        made[f"{prefix}-labels-idx1-ubyte.gz"] = idx_bytes(index % 10)
    return made


@pytest.fixture
def known(files, monkeypatch):
    """Make torchvision expect the checksums of our own files; return the files."""
    datasets = pytest.importorskip("torchvision.datasets")
    resources = [(name, md5(data)) for name, data in files.items()]
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    monkeypatch.setattr(datasets.FashionMNIST, "resources", resources)
    return files


def put(folder, files, prefix=""):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        if name.startswith(prefix):
            (folder / name).write_bytes(data)


def indices(images):
    return images.x[:, 0, 0, 0].long() + 256 * images.x[:, 0, 0, 1].long()


@pytest.mark.parametrize(("load", "name"), [(mnist, "MNIST"), (fashion_mnist, "FashionMNIST")])
def test_splits_are_disjoint_and_in_order(tmp_path, known, load, name):
    put(tmp_path / name / "raw", known)  # where torchvision puts them
    spans = {"train": (0, 50_000), "valid": (50_000, 60_000), "test": (0, 10_000)}
    for split, (start, stop) in spans.items():
        images = load(tmp_path, split)
        assert images.x.shape == (stop - start, 1, 1, 2)
        assert images.levels == 256
        assert torch.equal(indices(images), torch.arange(start, stop))
        assert torch.equal(images.y, torch.arange(start, stop) % 10)


def test_a_folder_with_the_test_files_alone_serves_the_test_split(tmp_path, known):
    put(tmp_path, known, "t10k")
    assert len(mnist(tmp_path, "test")) == 10_000
    for split in ("train", "valid"):
        with pytest.raises(FileNotFoundError, match=r"there is no .*train-images.*call with download=True"):
            mnist(tmp_path, split)


def test_a_wrong_checksum_is_refused(tmp_path, known):
    put(tmp_path, known, "t10k")
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"t10k-images.* has md5 .*delete it and call with download=True"):
        mnist(tmp_path, "test")
    put(tmp_path / "MNIST" / "raw", known, "t10k")  # a good copy elsewhere is found all the same
    assert len(mnist(tmp_path, "test")) == 10_000


def test_other_splits_are_refused(tmp_path):
    for load in (mnist, fashion_mnist, cifar10):
        with pytest.raises(ValueError, match="split must be one of train, valid, test, got 'dev'"):
            load(tmp_path, "dev")


def test_without_download_nothing_touches_the_network(tmp_path, known, monkeypatch):
    import torchvision.datasets.utils as utils

    for name in ("download_url", "download_and_extract_archive"):
        monkeypatch.setattr(utils, name, pytest.fail)
    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", pytest.fail)
    for load in (mnist, fashion_mnist, cifar10):
        with pytest.raises(FileNotFoundError, match="call with download=True to fetch it"):
            load(tmp_path / "nowhere", "train")


def test_offline_says_so(tmp_path, known, monkeypatch):
    def offline(*args, **kwargs):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", offline)
    with pytest.raises(ConnectionError, match=r"could not download MNIST \(.*no route.*is there a network"):
        mnist(tmp_path, "train", download=True)
    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", offline)
    with pytest.raises(ConnectionError, match=r"could not download CIFAR-10 .*by hand"):
        cifar10(tmp_path, "train", download=True)


def test_download_fetches_only_what_is_missing(tmp_path, known, monkeypatch):
    fetched = []

    def fetch(url, root, filename, md5):
        fetched.append(filename)
        if len(fetched) == 1:
            raise urllib.error.URLError("the first mirror is down")
        put(Path(root), {filename: known[filename]})

    monkeypatch.setattr("torchvision.datasets.utils.download_url", fetch)
    put(tmp_path, known, "t10k-labels")
    assert len(mnist(tmp_path, "test", download=True)) == 10_000
    assert fetched == ["t10k-images-idx3-ubyte.gz"] * 2
    assert len(mnist(tmp_path, "test", download=True)) == 10_000
    assert len(fetched) == 2


# idx files


def test_read_idx(tmp_path):
    array = np.arange(24).reshape(2, 3, 4)
    (tmp_path / "a.gz").write_bytes(idx_bytes(array))
    assert torch.equal(read_idx(tmp_path / "a.gz"), torch.arange(24).reshape(2, 3, 4).to(torch.uint8))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"plain text", "is not a whole gzip file"),
        (idx_bytes(np.arange(9))[:-9], "is not a whole gzip file"),
        (gzip.compress(b"\x00\x00\x0d\x01\x00\x00\x00\x00"), "begins with 00 00 0d 01, not with 00 00 08"),
        (gzip.compress(b"\x00\x00\x08\x03\x00\x00"), "is no idx file"),
        (gzip.compress(b"\x00\x00\x08\x01\x00\x00\x00\x05abc"), r"states shape \(5,\) but holds 3 values"),
    ],
    # named, because gzip writes the time into its header and test workers must agree on the names
    ids=["plain", "cut", "floats", "header", "short"],
)
def test_read_idx_refuses_damaged_files(tmp_path, data, message):
    (tmp_path / "a.gz").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_idx(tmp_path / "a.gz")


# CIFAR-10


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """Six batch files of four images each, in CIFAR-10's own format, and their checksums."""
    dataset = pytest.importorskip("torchvision.datasets").CIFAR10
    folder = tmp_path / dataset.base_folder
    folder.mkdir()
    generator = np.random.default_rng(0)
    pixels, labels, sums = [], [], {}
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        pixels.append(generator.integers(0, 256, (4, 3072), dtype=np.uint8))
        labels.append(generator.integers(0, 10, 4).tolist())
        data = pickle.dumps({"data": pixels[-1], "labels": labels[-1]})
        (folder / name).write_bytes(data)
        sums[name] = md5(data)
    names = pickle.dumps({"label_names": list("abcdefghij")})
    (folder / "batches.meta").write_bytes(names)
    monkeypatch.setattr(dataset, "train_list", [[n, s] for n, s in sums.items() if n != "test_batch"])
    monkeypatch.setattr(dataset, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(dataset, "meta", dataset.meta | {"md5": md5(names)})
    monkeypatch.setattr(vision_module, "_CIFAR10_VALID", 6)
    return (
        tmp_path,
        torch.tensor(np.concatenate(pixels)).reshape(-1, 3, 32, 32),
        np.concatenate(labels).tolist(),
    )


def test_cifar10(cifar):
    root, x, y = cifar
    for split, part in (("train", slice(0, 14)), ("valid", slice(14, 20)), ("test", slice(20, 24))):
        images = cifar10(root, split)
        assert torch.equal(images.x, x[part])
        assert images.y.tolist() == y[part]
        assert images.levels == 256


def test_cifar10_checks_its_files(cifar):
    root, *_ = cifar
    (root / "cifar-10-batches-py" / "test_batch").write_bytes(b"changed")
    with pytest.raises(ValueError, match="missing or has a wrong checksum; delete the folder"):
        cifar10(root, "train")


# The real files, and the imports


@pytest.mark.skipif(
    not (MNIST_DIR / "t10k-images-idx3-ubyte.gz").is_file(),
    reason=f"no MNIST test files in {MNIST_DIR}; set DGM_MNIST_DIR to a folder that holds them",
)
def test_the_real_test_split():
    images = mnist(MNIST_DIR, "test")
    assert images.x.shape == (10_000, 1, 28, 28)
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert torch.bincount(images.y).tolist() == counts
    assert images.y[:5].tolist() == [7, 2, 1, 0, 4]
    assert images.x.double().mean().item() / 255 == pytest.approx(0.1325, abs=5e-5)


@pytest.mark.slow
def test_importing_the_data_does_not_import_torchvision():
    code = "import sys, dgm.data; print([m for m in ('torchvision', 'sklearn') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
