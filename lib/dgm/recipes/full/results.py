"""What a run of the full budget leaves behind, and how a chapter shows it.

A result is two files: `full_FAMILY.json`, the figures with all that they depend on, and `full_FAMILY.png`, a
sheet of samples, image beside image without gaps.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dgm.data import mnist
from dgm.data.vision import read_idx
from dgm.parallel import Shard, meet
from dgm.recipes.base import fingerprint
from dgm.recipes.full.base import FullRecipe
from dgm.recipes.full.measure import FULL_UNITS, full_figures
from dgm.recipes.full.training import Trained, find_recipe, train_full

COLUMNS, ROWS = 16, 6  # of the sheet
POINTS = 200  # of the stored loss, each a mean over neighbouring steps
MOST_BYTES = 100_000  # of a sheet
NAMES = {
    "vae": "VAE",
    "gan": "GAN",
    "flow": "Glow",
    "diffusion": "diffusion model",
    "autoregressive": "gated PixelCNN",
}


@dataclass(frozen=True)
class Images:
    """The three parts of a data set, uint8 (N, 1, H, W).

    Args:
        name: of the data set.
        train: to train on.
        valid: by which weights are chosen.
        test: on which figures are taken.
    """

    name: str
    train: Tensor
    valid: Tensor
    test: Tensor


def load_images(path: str | Path, *, download: bool = False) -> Images:
    """MNIST from a folder, or the images of one idx file, of which the last fifth is held out.

    Args:
        path: a folder with MNIST's four files (see `dgm.data.mnist`), or a file such as
            train-images-idx3-ubyte.gz, whose last tenth is tested on and the one before it validated on.
        download: fetch MNIST's files into the folder where they are missing.

    Raises:
        FileNotFoundError: they are missing; says what to fetch.
        ValueError: a file of another kind, or of too few images.
    """
    path = Path(path)
    if path.is_file():
        x = read_idx(path)
        if x.ndim != 3 or len(x) < 10:
            raise ValueError(f"{path.name} must hold at least 10 images (N, H, W), it holds {tuple(x.shape)}")
        held = len(x) // 10
        train, valid, test = x[:, None].split([len(x) - 2 * held, held, held])
        return Images(f"{path.name}, in its order", train, valid, test)
    try:
        return Images(
            "MNIST", *(mnist(path, part, download=download).x for part in ("train", "valid", "test"))
        )
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{error}.\nThe full budget needs MNIST's four files: train-images-idx3-ubyte.gz, "
            "train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz, 12 MB "
            "in all, as torchvision fetches them: `--download` where there is a network; elsewhere copy them "
            "into a folder and name it with `--data`, which may also name one idx file of images"
        ) from error


def run_full(
    family: str,
    data: str | Path,
    out: str | Path,
    *,
    download: bool = False,
    changes: dict[str, Any] | None = None,
    steps: int | None = None,
    device: str | torch.device | None = None,
    precision: str = "auto",
    seed: int = 0,
    shard: Shard | None = None,
    checkpoints: str | Path | None = None,
    samples: int = 2000,
    rated: int | None = None,
    commit: str | None = None,
    command: str = "",
) -> Path | None:
    """Load, train (or go on), measure and store; returns the JSON file in the first process, else None.

    Args:
        family: one of `FULL`.
        data: see `load_images`.
        out: the folder of the results.
        download: fetch MNIST where it is missing.
        changes: fields of the recipe that are to be others.
        steps: of training; the recipe's where None.
        device: see `train_full`.
        precision: see `train_full`.
        seed: of the run.
        shard: which of how many processes this is.
        checkpoints: the folder of the file from which a run that was stopped goes on; None for none.
        samples: see `full_figures`.
        rated: see `full_figures`.
        commit: of the code; what git says where None.
        command: that started this, for the record.
    """
    shard = shard or Shard()
    recipe = replace(find_recipe(family), **(changes or {}))
    steps = recipe.steps if steps is None else steps
    if not shard.leads:
        meet(shard)  # the first process may fetch the files
    images = load_images(data, download=download and shard.leads)
    if shard.leads:
        meet(shard)
    path = None
    if checkpoints is not None:
        path = Path(checkpoints) / f"{family}-{fingerprint(recipe)}-{steps}-{seed}.safetensors"
    trained = train_full(
        recipe,
        images.train,
        steps=steps,
        device=device,
        valid=images.valid,
        seed=seed,
        precision=precision,
        shard=shard,
        checkpoint=path,
    )
    if not shard.leads:
        return None
    measured = full_figures(trained.model, images.train, images.test, samples=samples, rated=rated, seed=seed)
    sheet = measured.pop("samples")[: COLUMNS * ROWS]
    record = {
        "family": family,
        "provenance": {
            "command": command,
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "commit": commit or _commit(),
            "versions": {
                "python": platform.python_version(),
                "machine": platform.machine(),
                **{name: _version(name) for name in ("torch", "numpy", "dgm-course")},
            },
        },
        "data": {
            "name": images.name,
            "shape": list(images.train.shape[1:]),
            **{part: len(getattr(images, part)) for part in ("train", "valid", "test")},
        },
        "recipe": {**asdict(recipe), "fingerprint": fingerprint(recipe)},
        "run": _run_of(trained, shard, seed),
        "units": FULL_UNITS,
        **measured,
    }
    return store(Path(out), record, sheet)


def _run_of(trained: Trained, shard: Shard, seed: int) -> dict[str, Any]:
    """How a run went: device, seconds, steps, parameters, the loss."""
    losses = next(iter(trained.history.train.values()))
    width = -(-len(losses) // POINTS)
    return {
        "device": device_name(trained.device),
        "processes": shard.world,
        "precision": "bf16" if trained.bf16 else "float32",
        "seed": seed,
        "steps": trained.steps,
        "best_step": trained.model.best_step,
        "seconds": round(trained.seconds, 1),
        "parameters": trained.model.parameters,
        "loss": {
            "name": next(iter(trained.history.train)),
            "every": width,
            "values": [
                float(f"{np.mean(losses[at : at + width]):.6g}") for at in range(0, len(losses), width)
            ],
        },
    }


def device_name(device: torch.device) -> str:
    """What a reader knows a device by: the GPU's name, or "CPU" with the number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"


def _version(package: str) -> str:
    """Of an installed package; "not installed" for a course that runs from its folder alone."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    """The code's commit, or "unknown" where there is no repository."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def store(out: Path, record: dict[str, Any], sheet: Tensor) -> Path:
    """Write a result's two files; returns that of the figures.

    Args:
        out: the folder.
        record: plain data, with a "family".
        sheet: (N, 1, H, W) uint8 samples.

    Raises:
        ValueError: the picture would be larger than what belongs into a repository.
    """
    out.mkdir(parents=True, exist_ok=True)
    n, _, height, width = sheet.shape
    rows = n // COLUMNS
    if not rows:
        raise ValueError(f"a sheet needs at least {COLUMNS} samples, got {n}")
    grid = sheet[: rows * COLUMNS].reshape(rows, COLUMNS, height, width).transpose(1, 2)
    picture = out / f"full_{record['family']}.png"
    Image.fromarray(grid.reshape(rows * height, COLUMNS * width).numpy()).save(picture, optimize=True)
    if picture.stat().st_size > MOST_BYTES:
        raise ValueError(f"{picture.name} has {picture.stat().st_size} bytes, more than {MOST_BYTES}")
    path = out / f"full_{record['family']}.json"
    path.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return path


@dataclass(frozen=True)
class FullResult:
    """What a chapter shows of the full budget.

    Args:
        text: what was trained where and what came, or that nothing is stored.
        samples: (N, 1, H, W) in [-1, 1]; None where nothing is stored.
        alt: the samples in words.
    """

    text: str
    samples: Tensor | None
    alt: str


def full_result(family: str, *, train: bool = False, folder: str | Path = "results") -> FullResult:
    """The stored result of a family's full budget; or train first, and store it.

    Training reads MNIST from the folder that the environment variable DGM_DATA names, `../data` where it is
    unset, and fetches what is missing there.

    Args:
        family: one of `FULL`.
        train: False for a laptop: show what is stored.
        folder: of the results.

    Returns:
        The text and the samples.

    Raises:
        ValueError: another family.
        ConnectionError: `train`, but MNIST is neither there nor to be had.
    """
    recipe = find_recipe(family)
    folder = Path(folder)
    if train:
        run_full(
            family,
            os.environ.get("DGM_DATA", "../data"),
            folder,
            download=True,
            checkpoints="../build/full",
            command="full_result",
        )
    path = folder / f"full_{family}.json"
    if not path.is_file():
        return FullResult(
            f"no result of the full budget is stored ({NAMES[family]}); on a machine with a GPU:\n"
            f'make full ARGS="{family} --data data --download"',
            None,
            "",
        )
    record = json.loads(path.read_text(encoding="utf-8"))
    sheet = torch.from_numpy(np.array(Image.open(folder / f"full_{family}.png")))  # (rows H, columns W)
    _, height, width = record["data"]["shape"]
    rows, columns = sheet.shape[0] // height, sheet.shape[1] // width
    tiles = sheet.reshape(rows, height, columns, width).transpose(1, 2).reshape(-1, 1, height, width)
    run = record["run"]
    return FullResult(
        in_words(record, recipe),
        tiles.float() / 127.5 - 1,
        f"{rows} rows of {columns} samples, {height} by {width} pixels, that the {NAMES[family]} drew after "
        f"{run['steps']} steps on {record['data']['name']}.",
    )


def in_words(record: dict[str, Any], recipe: FullRecipe) -> str:
    """A stored result in a few lines: what it is, on which device, how long it took, what came."""
    run, figures, data = record["run"], record["figures"], record["data"]
    made = record["provenance"]
    bits = ", ".join(f"{kind} {value:.3f}" for kind, value in figures["bits"].items())
    size = f"{data['shape'][1]}x{data['shape'][2]}"
    lines = [
        f"{NAMES[record['family']]}, {run['parameters'] / 1e6:.1f} million parameters, "
        f"{data['train']} images of {size} ({data['name']})",
        f"{run['device']}, {run['precision']}"
        + (f", {run['processes']} processes" if run["processes"] > 1 else "")
        + f": {run['steps']} steps in {run['seconds']:.0f} s; torch {made['versions']['torch']}, "
        f"commit {made['commit']}",
        f"bits per dimension of 256 levels: {bits or 'none, it has no likelihood'}",
        f"Fréchet distance of 2x2 averages, {record['counts']['samples']} samples: {figures['frechet']:.2f} "
        f"(as many test images: {record['anchors']['frechet']:.2f})",
        f"distance to the nearest training image: {figures['apart']:.2f} times a test image's",
    ]
    if record["recipe"]["fingerprint"] != fingerprint(recipe):
        lines.append("(of a recipe that has changed since)")
    return "\n".join(lines)
