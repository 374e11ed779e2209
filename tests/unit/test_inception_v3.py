"""The extractor of colour images, with random weights in place of ImageNet's: nothing is downloaded."""

import hashlib
import urllib.error
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dgm.metrics import InceptionFeatures, frechet_distance, inception_v3, inception_v3_features

torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed")


def weights() -> dict[str, Tensor]:
    """A state dict as torchvision's, drawn so that values neither die nor grow on their way."""
    with torch.device("meta"):
        shapes = torchvision.models.inception_v3(weights=None, init_weights=False).state_dict()
    g = torch.Generator().manual_seed(0)
    state = {}
    for name, meta in shapes.items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.zeros((), dtype=torch.long)
        elif meta.ndim > 1:
            state[name] = torch.randn(meta.shape, generator=g) * (2 / meta[0].numel()) ** 0.5
        else:
            state[name] = (
                torch.ones(meta.shape) if "var" in name or "weight" in name else torch.zeros(meta.shape)
            )
    return state


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("inception") / "stand_in.pth"
    torch.save(weights(), file)
    return file


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def images(n: int, size: int = 299, seed: int = 0) -> Tensor:
    return 2 * torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed)) - 1


def forbid(*_: object, **__: object) -> None:
    raise AssertionError("touched the network")


@pytest.mark.slow
def test_features_of_a_stand_in(stand_in: Path) -> None:
    state = torch.get_rng_state()
    extractor = inception_v3_features(stand_in, sha256=digest(stand_in)[:12])
    assert torch.equal(torch.get_rng_state(), state)  # building it drew nothing
    x = images(3).requires_grad_()
    f = extractor.features(x, batch_size=2)
    assert f.shape == (3, 2048)
    assert f.dtype == torch.float32
    assert not f.requires_grad
    assert (f >= 0).all()
    assert frechet_distance(f, f) < 1e-6 * f.double().var(0).sum() > 0
    # The network's own way: its input normalised as for ImageNet, a hook on the pooling.
    with torch.device("meta"):
        network = torchvision.models.inception_v3(weights=None, init_weights=False, transform_input=True)
    network.load_state_dict(torch.load(stand_in, weights_only=True), assign=True)
    pooled = []
    network.eval().avgpool.register_forward_hook(lambda module, args, out: pooled.append(out.flatten(1)))
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    with torch.no_grad():
        network(((x + 1) / 2 - mean) / std)
    scale = pooled[0].abs().max().item()
    torch.testing.assert_close(f, pooled[0], rtol=1e-3, atol=1e-4 * scale)


@pytest.mark.slow
def test_features_by_batches_of_small_images_of_float64(stand_in: Path) -> None:
    extractor = inception_v3_features(stand_in, sha256=None)
    small = images(3, 32).double()
    whole = extractor.train().features(small)  # stays in eval mode: no batch statistics
    scale = whole.max().item()
    each = torch.cat([extractor(one[None]) for one in small])
    torch.testing.assert_close(each, whole, rtol=1e-3, atol=1e-4 * scale)
    resized = F.interpolate(small.float(), size=(299, 299), mode="bilinear", antialias=True)
    torch.testing.assert_close(extractor.features(resized), whole, rtol=1e-3, atol=1e-4 * scale)


def test_resizing_keeps_the_range_and_averages_when_it_shrinks() -> None:
    seen = []

    class Keep(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            assert not self.training
            seen.append(x)
            return x.mean((2, 3))

    extractor = InceptionFeatures(Keep())
    assert not any(p.requires_grad for p in extractor.parameters())
    checks = torch.ones(5, 3, 897, 897)  # three times 299: pixels in turn at 1 and -1 are grey from afar
    checks[:, :, ::2, ::2] = checks[:, :, 1::2, 1::2] = -1.0
    extractor.features(checks, batch_size=2)
    assert [tuple(x.shape) for x in seen] == [(2, 3, 299, 299), (2, 3, 299, 299), (1, 3, 299, 299)]
    assert seen[0].abs().max() < 0.05  # 1 if every third pixel is taken
    extractor.features(images(1, 8))
    assert seen[-1].abs().max() <= 1


def test_without_consent_nothing_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "download_url_to_file", forbid)
    monkeypatch.setattr("urllib.request.urlopen", forbid)
    with pytest.raises(
        FileNotFoundError, match=r"no .*there.pth; call with download=True to fetch 104 MB from h"
    ):
        inception_v3_features(tmp_path / "there.pth")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"checkpoints/inception_v3_google-0cc3c7bd.pth; call with"):
        inception_v3_features()


def test_offline_says_so_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("torch.hub.urlopen", offline)
    target = tmp_path / "new" / "there.pth"
    with pytest.raises(ConnectionError, match=r"no route to host.* is there a network\? .* by hand"):
        inception_v3_features(target, download=True)
    assert "fetching 104 MB from http" in capsys.readouterr().out  # said before
    assert not target.exists()


def serve(monkeypatch: pytest.MonkeyPatch, file: Path) -> list[str]:
    """Hand out a local file for whatever address is asked; the addresses that were."""
    builder, _ = inception_v3._torchvision()
    monkeypatch.setattr(inception_v3, "_torchvision", lambda: (builder, file.as_uri()))
    asked: list[str] = []
    fetch = torch.hub.download_url_to_file

    def counted(address: str, *arguments: object, **options: object) -> None:
        asked.append(address)
        fetch(address, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.hub, "download_url_to_file", counted)
    return asked


@pytest.mark.slow
def test_a_download_is_checked_and_kept(
    stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = serve(monkeypatch, stand_in)
    target, sha256 = tmp_path / "kept.pth", digest(stand_in)
    with pytest.raises(ConnectionError, match="invalid hash value"):
        inception_v3_features(target, download=True)  # not ImageNet's
    assert not target.exists()
    extractor = inception_v3_features(target, download=True, sha256=sha256)
    assert len(asked) == 2
    again = inception_v3_features(target, download=True, sha256=sha256)
    assert len(asked) == 2  # from the disk
    for one, other in zip(extractor.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_another_file_is_refused(stand_in: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"stand_in.pth has the sha256 .*, not 0cc3c7bd\.\.\.; it is"):
        inception_v3_features(stand_in)
    broken = tmp_path / "broken.pth"
    with open(stand_in, "rb") as file:
        beginning = file.read(100_000)
    for content in (b"", b"no weights", beginning):
        broken.write_bytes(content)
        with pytest.raises(ValueError, match=r"broken.pth is no state dict of torchvision's Inception v3 \("):
            inception_v3_features(broken, sha256=None)
    for wrong in ({"fc.extra": torch.zeros(3)}, {"fc.bias": torch.zeros(10)}, [1, 2], torch.zeros(3)):
        torch.save(wrong, broken)
        with pytest.raises(ValueError, match=r"broken.pth is no state dict .*fetch h"):
            inception_v3_features(broken, sha256=None)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(4, 1, 8, 8), r"shape \(N, 3, H, W\) .* got \(4, 1, 8, 8\); use x.expand"),
        (torch.zeros(3, 8, 8), r"shape \(N, 3, H, W\)"),
        (torch.zeros(0, 3, 8, 8), "hold an image"),
        (torch.zeros(4, 3, 8, 8, dtype=torch.uint8), r"floats in \[-1, 1\], got torch.uint8; use to_pm1"),
        (torch.full((4, 3, 8, 8), 255.0), r"must lie in \[-1, 1\], got values from 255 to 255"),
        (torch.full((4, 3, 8, 8), torch.nan), r"must lie in \[-1, 1\]"),
    ],
)
def test_images_are_refused(x: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        InceptionFeatures(torch.nn.Identity()).features(x)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        InceptionFeatures(torch.nn.Identity()).features(images(1, 8), batch_size=0)
