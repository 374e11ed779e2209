"""What the course consists of, for the start page: each chapter's question, and what it needs."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "lib"))


@dataclass(frozen=True)
class Chapter:
    """A chapter as the start page shows it.

    Args:
        slug: file name without suffix.
        name: short, for the graph; the table shows the chapter's own title.
        question: that it answers.
        needs: slugs of the chapters that it builds on, the nearest only.
        row: height in the graph, from 0 (top); its column follows from `needs`.
    """

    slug: str
    name: str
    question: str
    needs: tuple[str, ...]
    row: float


CHAPTERS = (
    Chapter("00_start", "Start here", "Why does the mean of right answers hit the rock?", (), 2),
    Chapter(
        "01_autoencoder",
        "Autoencoders",
        "How few numbers say which picture it is, and why can you not draw from them?",
        ("00_start",),
        0.5,
    ),
    Chapter(
        "02_vae",
        "Variational\nautoencoders",
        "How do 64 pixels come to agree, and how probable is a given digit?",
        ("01_autoencoder",),
        0.5,
    ),
    Chapter(
        "03_gan",
        "Adversarial\nnetworks",
        "Can a second network judge the draws, without any density?",
        ("00_start",),
        3,
    ),
    Chapter(
        "04_wgan",
        "Wasserstein\nGANs",
        "What distance still feels how far two distributions are when they do not touch?",
        ("03_gan",),
        3,
    ),
    Chapter(
        "05_flow",
        "Normalising\nflows",
        "How do you bend a Gaussian into the data, and know the density exactly?",
        ("02_vae",),
        1,
    ),
    Chapter(
        "06_glow",
        "Flows for\nimages",
        "What makes a flow see a picture, and is a good likelihood a good sample?",
        ("05_flow",),
        1,
    ),
    Chapter(
        "07_diffusion",
        "Diffusion\nmodels",
        "How do you draw by undoing noise, and what does squared error have to do with it?",
        ("02_vae",),
        0,
    ),
    Chapter(
        "08_guidance",
        "Sampling and\nguidance",
        "How do you get there in few steps, and get the digit that you asked for?",
        ("07_diffusion",),
        0,
    ),
    Chapter(
        "09_autoregressive",
        "Autoregressive\nmodels",
        "What does it cost to bet on one pixel after the other?",
        ("00_start",),
        2,
    ),
    Chapter(
        "10_evaluation",
        "Evaluation",
        "Whose pictures are better, who says so, and what does that number not see?",
        ("02_vae", "04_wgan"),
        2,
    ),
)


def title_of(slug: str, folder: str = "chapters") -> str:
    """The first heading of a notebook."""
    for line in (ROOT / folder / f"{slug}.py").read_text(encoding="utf-8").splitlines():
        if line.startswith("# # "):
            return line.removeprefix("# # ")
    raise ValueError(f"{folder}/{slug}.py has no heading of the first level")


def minutes_of(slug: str) -> str:
    """Minutes of one run on idle cores: the last column of README.md, which `make run` keeps.

    Raises:
        ValueError: README.md has no such row.
    """
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"^\|.*\(chapters/{slug}\.ipynb\).*\| *([\d.]+) *\|$", readme, re.MULTILINE)
    if not found:
        raise ValueError(f"README.md has no row for chapters/{slug}.ipynb that ends in minutes")
    return found[1]


def points_of(slug: str) -> int:
    """Points of a chapter's exercises, as their checks define them."""
    from coursekit.exercises.task import load_exercise

    return int(load_exercise(ROOT / "exercises" / "checks" / slug).points)
