"""What was measured: chapters' costs, dgm's speed beside others, the mutants that tests and graders kill.

The data are files in `docs/data`, written by the commands that measure. Where a file is missing, the page
says that nothing has been measured yet and names the command.
"""

import json
import math
import re
import statistics
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

DATA = Path("docs") / "data"
PAGE = "reference/measurements.md"
COMMANDS = {
    "costs": "make run",
    "bench": "make bench",
    "mutants": "make mutants",
    "proof": "make proof",
    "versions": "make test-versions",
}
# Words in the names of figures -> how they are written.
WORDS = {
    "bpd": "bits per dimension",
    "cpu": "CPU",
    "ddpm": "DDPM",
    "dim": "dimension",
    "edm": "EDM",
    "fd": "Fréchet distance",
    "frechet": "Fréchet",
    "gan": "GAN",
    "gp": "GP",
    "kl": "KL",
    "vae": "VAE",
    "wgan": "WGAN",
}
TIME = re.compile(r"(.+)_(m?s)")  # dgm_ms, zuko_ms: a column of a script's rows
SHOWN = ("torch", "torchvision", "numpy", "scipy", "scikit-learn")  # of the versions: a page is not wider
# Of the drawing, in its own units.
WIDTH, LEFT, RIGHT, TOP, ROW, FOOT, NOTE = 640, 12, 70, 34, 40, 44, 150


def pages(root: Path, edition: str) -> dict[str, str]:
    """The page in the source tree, the same in both editions."""
    return {PAGE: page(*(read(root / DATA / f"{name}.json") for name in COMMANDS))}


def read(path: Path) -> Any:
    """The data of a file, or None where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def page(costs: Any, bench: Any, mutants: Any, proof: Any, versions: Any) -> str:
    """The whole page in MyST; each argument is the data of a file, or None."""
    return "\n".join(
        [
            "---\nmyst:\n  enable_extensions: [colon_fence, dollarmath]\n---\n",
            "(measurements)=\n# Measurements\n",
            "Numbers that depend on a machine are shown with what they were measured on.\n",
            "## What a chapter costs\n",
            costs_section(costs),
            "\n## Speed beside other libraries\n",
            bench_section(bench),
            "\n## Mutants of the library\n",
            mutants_section(mutants),
            "\n## Graders\n",
            proof_section(proof),
            "\n## Versions\n",
            versions_section(versions),
        ]
    )


def missing(what: str, name: str) -> str:
    """The note in place of a table."""
    return f":::{{note}}\n{what} not been measured yet. `{COMMANDS[name]}` does it.\n:::\n"


def rows_of(data: Any, key: str) -> list[dict[str, Any]]:
    """The rows of a file that is a list of them, or a mapping that has them under a key."""
    rows = data if isinstance(data, list) else data.get(key, [])
    return [dict(row) for row in rows]


def provenance(data: Any) -> str:
    """A sentence on what was run, as far as the file says it."""
    if not isinstance(data, dict):
        return ""
    parts = []
    if commit := data.get("commit"):
        state = f"the state after commit `{commit[:-1]}`" if commit.endswith("+") else f"commit `{commit}`"
        parts.append(state)
    if data.get("versions"):
        parts.append(", ".join(f"{name} {version}" for name, version in data["versions"].items()))
    machine = data.get("machine")
    if isinstance(machine, dict):
        cores = f"{machine['cores']} cores" if machine.get("cores") else ""
        python = f"Python {machine['python']}" if machine.get("python") else ""
        machine = ", ".join(p for p in (cores, machine.get("machine", ""), python) if p)
    if machine:
        parts.append(str(machine))
    return f"Measured on {'; '.join(parts)}.\n" if parts else ""


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], left: int = 1) -> str:
    """A table in Markdown: the first columns flush left, the others flush right."""
    rule = ["---"] * left + ["---:"] * (len(columns) - left)
    lines = [columns, rule, *([str(c).replace("|", r"\|") for c in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def number(value: Any, digits: int = 3) -> str:
    """A number with so many significant digits and thousands set apart; a dash for None."""
    if value is None:
        return "–"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer() and abs(value) >= 100):
        return f"{int(value):,}"
    if not isinstance(value, float):
        return str(value)
    if not math.isfinite(value):
        return "–"
    if 0 < abs(value) < 1e-6:
        return f"{value:.1e}"
    places = max(0, digits - 1 - (math.floor(math.log10(abs(value))) if value else 0))
    return f"{value:,.{min(places, 6)}f}"


# What a chapter costs


def costs_section(data: Any) -> str:
    """A row for every chapter, and their sum."""
    rows = rows_of(data, "chapters") if data else []
    if not rows:
        return missing("The chapters' seconds, memory and steps have", "costs")
    names = ("seconds", "cpu_seconds", "peak_mb", "steps", "parameters")
    body = [
        [f"{{doc}}`/chapters/{row['chapter']}`", *(number(rounded(name, row.get(name))) for name in names)]
        for row in rows
    ]
    known = {name: [row[name] for row in rows if row.get(name) is not None] for name in names}
    whole = {name: sum(values) for name, values in known.items()}
    whole["peak_mb"] = max(known["peak_mb"], default=0)
    body.append(["**Together**", *(f"**{number(rounded(name, whole[name]) or None)}**" for name in names)])
    columns = ["Chapter", "Seconds", "CPU-seconds", "Memory (MB)", "Training steps", "Parameters"]
    return (
        "One run of each chapter from its first cell to its last, the start of the kernel included. Memory "
        "is the most that was held at once; parameters are those of all models that the chapter trains. The "
        f"last row sums up, for the memory it has the largest.\n\n{table(columns, body)}\n{provenance(data)}"
    )


def rounded(name: str, value: Any) -> Any:
    """Seconds and megabytes as whole numbers: their decimals are noise."""
    return (
        round(value) if isinstance(value, float) and name in ("seconds", "cpu_seconds", "peak_mb") else value
    )


# Speed beside other libraries


def bench_section(data: Any) -> str:
    """For each script with ratios a drawing and a table; for the others their figures."""
    benches = [b for b in rows_of(data, "benches") if not b.get("skipped")] if data else []
    if not benches:
        return missing("dgm's speed beside its peers' has", "bench")
    out = [
        "How many times as fast as the fastest of the other libraries dgm does the same work: 1 is a draw, "
        "more is in dgm's favour. The dot is the median of the repeats, the line reaches from the least to "
        "the most.\n",
        provenance(data),
    ]
    for bench in benches:
        ratios = {
            name: values_of(figure) for name, figure in bench.get("figures", {}).items() if is_ratio(figure)
        }
        ratios = {name: values for name, values in ratios.items() if values}
        if not ratios:
            continue
        title = spoken(bench["bench"])
        out += [f"### {title}\n", "```{raw} html", drawing(title, ratios), "```\n"]
        out.append(bench_table(bench, ratios))
        out.append(provenance({key: bench.get(key) for key in ("commit", "versions")}))
    out += others_section(benches)
    return "\n".join(part for part in out if part)


def others_section(benches: Sequence[dict[str, Any]]) -> list[str]:
    """What is no speed: a table for each script."""
    out = []
    for bench in benches:
        body = [
            [spoken(name), spread(figure), figure["unit"], limit(figure) or "–"]
            for name, figure in bench.get("figures", {}).items()
            if not is_ratio(figure)
        ]
        if body:
            out += [f"**{spoken(bench['bench'])}**\n", table(["Figure", "Value", "Unit", "Held to"], body)]
    head = (
        "Means over the seeds with their standard deviations, a table for each script in `bench/`. What a "
        "figure is held to, its script asserts.\n"
    )
    return ["## What the models reach\n", head, *out] if out else []


def is_ratio(figure: dict[str, Any]) -> bool:
    """Whether a figure says how many times as fast dgm is; a multiple of a distance does not."""
    unit = str(figure.get("unit", ""))
    return unit.startswith("times ") and unit.endswith("speed")


def spoken(name: str) -> str:
    """A figure's name for readers: what has blanks has been written for them."""
    if " " in name:
        return name
    words = " ".join(WORDS.get(word, word) for word in name.split("_"))
    return words[:1].upper() + words[1:]


def values_of(figure: dict[str, Any]) -> list[float]:
    """Of every repeat or seed; where only their mean is kept, that."""
    values = figure.get("values", [figure.get("mean")])
    return [float(value) for value in values if value is not None]


def spread(figure: dict[str, Any]) -> str:
    """Mean and standard deviation over the seeds."""
    values = values_of(figure)
    if not values:
        return "–"
    text = number(statistics.fmean(values))
    return f"{text}\u00a0±\u00a0{number(statistics.stdev(values), 2)}" if len(values) > 1 else text


def limit(figure: dict[str, Any]) -> str:
    """What the figure is held to."""
    parts = [f"at most\u00a0{number(figure['at_most'])}"] if figure.get("at_most") is not None else []
    parts += [f"at least\u00a0{number(figure['at_least'])}"] if figure.get("at_least") is not None else []
    return ", ".join(parts)


def bench_table(bench: dict[str, Any], ratios: dict[str, list[float]]) -> str:
    """The times of ours and of each peer, as far as the rows have them, and the ratio with its range."""
    rows = {str(row.get("row")): row for row in bench.get("rows", [])}
    keys = list(dict.fromkeys(key for row in rows.values() for key in row if TIME.fullmatch(key)))
    body = []
    for name, values in ratios.items():
        row = rows.get(name, {})
        times = [number(row.get(key)) for key in keys]
        low, high = number(min(values)), number(max(values))
        body.append([spoken(name), *times, number(statistics.median(values)), f"{low} to {high}"])
    columns = ["Work", *(TIME.sub(r"\1 (\2)", key) for key in keys), "Ratio", "Least to most"]
    return table(columns, body)


def drawing(title: str, ratios: dict[str, list[float]]) -> str:
    """The ratios as an SVG: dot and line on a logarithmic axis, the draw marked; below 1 another shape."""
    every = [v for values in ratios.values() for v in values] + [1.0]
    low, high = min(every) / 1.15, max(every) * 1.15
    inner = WIDTH - LEFT - RIGHT

    def x(value: float) -> float:
        return LEFT + inner * math.log(value / low) / math.log(high / low)

    height = TOP + ROW * len(ratios) + FOOT
    bottom = TOP + ROW * len(ratios)
    parts = [
        f'<div class="ratios" tabindex="0"><svg viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(described(title, ratios))}">',
        f'<line class="draw" x1="{x(1):.1f}" x2="{x(1):.1f}" y1="{TOP - 12}" y2="{bottom + 6}"/>',
        f'<text class="note" x="{max(x(1), LEFT + NOTE / 2):.1f}" y="{TOP - 18}" text-anchor="middle">'
        "as fast as the fastest peer</text>",
    ]
    for i, (name, values) in enumerate(ratios.items()):
        y = TOP + ROW * i + 28
        median = statistics.median(values)
        shape = (
            f'<circle class="faster" cx="{x(median):.1f}" cy="{y}" r="5.5"/>'
            if median >= 1
            else f'<rect class="slower" x="{x(median) - 5:.1f}" y="{y - 5}" width="10" height="10"/>'
        )
        parts += [
            f'<text x="{LEFT}" y="{y - 12}">{escape(spoken(name))}</text>',
            f'<line class="range" x1="{x(min(values)):.1f}" x2="{x(max(values)):.1f}" y1="{y}" y2="{y}"/>',
            shape,
            f'<text x="{WIDTH - 6}" y="{y + 4}" text-anchor="end">{number(median)}</text>',
        ]
    for tick in ticks(low, high):
        parts.append(
            f'<line class="tick" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{bottom}" y2="{bottom + 6}"/>'
        )
        parts.append(f'<text x="{x(tick):.1f}" y="{bottom + 20}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<text class="note" x="{LEFT}" y="{height - 6}">times the fastest peer, logarithmic</text>')
    return "\n".join([*parts, "</svg></div>"])


def ticks(low: float, high: float) -> list[float]:
    """Round numbers between two limits: at most eight."""
    found: list[float] = []
    for steps in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1,)):
        found = [s * 10**e for e in range(-3, 7) for s in steps if low <= s * 10**e <= high]
        if len(found) <= 8:
            break
    return found


def described(title: str, ratios: dict[str, list[float]]) -> str:
    """The drawing in words."""
    rows = "; ".join(
        f"{name}: {number(statistics.median(v))}, from {number(min(v))} to {number(max(v))}"
        for name, v in ratios.items()
    )
    return f"{title}, dgm's speed as a multiple of the fastest peer's. {rows}."


# Mutants


def mutants_section(data: Any) -> str:
    """A row for every module, and their sum."""
    rows = rows_of(data, "modules") if data else []
    if not rows:
        return missing("How many mutants of dgm its tests kill has", "mutants")
    names = ("mutants", "killed", "equivalent", "survived")
    total = {name: sum(int(row.get(name, 0)) for row in rows) for name in names}
    grouped: dict[str, dict[str, int]] = {}
    for row in rows:
        group = grouped.setdefault(package_of(row["module"]), dict.fromkeys(("modules", *names), 0))
        group["modules"] += 1
        for name in names:
            group[name] += int(row.get(name, 0))
    body = [
        [f"`{package}`", number(group["modules"]), *(number(group[n]) for n in names), rate(group)]
        for package, group in grouped.items()
    ]
    whole = [number(len(rows)), *(number(total[n]) for n in names), rate(total)]
    body.append(["**All**", *(f"**{cell}**" for cell in whole)])
    columns = ["Package", "Modules", "Mutants", "Killed", "Equivalent", "Survived", "Rate"]
    return (
        "A mutant is dgm with one small mistake put in: a sign flipped, a factor dropped, two arguments "
        "swapped. A test that fails kills it. An equivalent mutant computes the same, so no test can; the "
        f"rate is of the others. `{(DATA / 'mutants.json').as_posix()}` has them module by module.\n\n"
        f"{table(columns, body)}\n{provenance(data)}"
    )


def package_of(module: str) -> str:
    """`dgm.vae` of `dgm.vae.bounds`."""
    return ".".join(module.split(".")[:2])


# Graders


def proof_section(data: Any) -> str:
    """A row for every exercise, and their sum."""
    rows = rows_of(data, "tasks") if data else []
    if not rows:
        return missing("What the graders make of right and of wrong answers has", "proof")
    body = []
    for slug in sorted({row["slug"] for row in rows}):
        own = [row for row in rows if row["slug"] == slug]
        body.append([f"{{doc}}`/exercises/{slug}`", *(number(n) for n in graded(own))])
    body.append(["**All**", *(f"**{number(n)}**" for n in graded(rows))])
    columns = ["Exercise", "Tasks", "Right answers", "Wrong answers", "Mutants", "Refused", "Explained"]
    return (
        "Every grader was given right answers, wrong ones written by hand, and mutants of the solution. The "
        "right ones passed, the wrong ones failed with the hint meant for them. Most mutants were refused; "
        "each of the others was looked at, and is a right answer too or beyond what the task asks.\n\n"
        f"{table(columns, body)}\n{provenance(data)}"
    )


def graded(rows: Sequence[dict[str, Any]]) -> list[int]:
    """Tasks, right answers (the solution is one), wrong ones, mutants, refused and explained ones."""
    sums = [sum(int(row.get(name, 0)) for row in rows) for name in ("wrong", "mutants", "killed")]
    explained = sum(len(row.get("explained", ())) for row in rows)
    return [len(rows), sum(int(row.get("variants", 0)) + 1 for row in rows), *sums, explained]


def rate(row: dict[str, Any]) -> str:
    """Killed of those that can be killed, in per cent."""
    possible = int(row.get("mutants", 0)) - int(row.get("equivalent", 0))
    return f"{100 * int(row.get('killed', 0)) / possible:.1f} %" if possible > 0 else "–"


# Versions


def versions_section(data: Any) -> str:
    """A row for every set of versions that the tests were run with."""
    rows = rows_of(data, "rows") if data else []
    if not rows:
        return missing("Which versions of Python and of the packages pass the tests has", "versions")
    packages = [name for name in SHOWN if any(name in row.get("packages", {}) for row in rows)]
    body = [
        [
            row.get("name", ""),
            row.get("python", ""),
            *(row.get("packages", {}).get(name, "") for name in packages),
            *(number(row.get(name)) for name in ("passed", "failed", "skipped")),
        ]
        for row in rows
    ]
    columns = ["Set", "Python", *packages, "Passed", "Failed", "Skipped"]
    tests = " and ".join(f"`{path}`" for path in data.get("tests", [])) if isinstance(data, dict) else ""
    what = f"The tests in {tests}" if tests else "The tests"
    return (
        f"{what}, with the lowest and the newest versions that the course allows.\n\n{table(columns, body)}"
    )
