"""The students' bundle: the same bytes every time, complete, and without a line of the solutions."""

import json
import os
import time
from pathlib import Path

import pytest

from coursekit.authoring.generate import slugs
from coursekit.grading.release import STAMP, Leak, bundle, main, prove, unzipped, zipped

ROOT = Path(__file__).parents[2]
SOLUTIONS = ROOT / "solutions"


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return bundle(ROOT, slugs(SOLUTIONS))


def test_it_is_the_same_byte_for_byte(files: dict[str, bytes]) -> None:
    first = zipped(files)
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()
    try:
        assert zipped(dict(reversed(bundle(ROOT, slugs(SOLUTIONS)).items()))) == first
    finally:
        del os.environ["TZ"]
        time.tzset()
    assert unzipped(first) == files


def test_it_holds_what_a_student_needs_and_nothing_of_the_solutions(files: dict[str, bytes]) -> None:
    prove(files, SOLUTIONS)
    for slug in slugs(SOLUTIONS):
        for name in (f"{slug}.ipynb", f"{slug}.py", f"checks/{slug}/probes.py", f"checks/{slug}/visible.py"):
            assert f"exercises/{name}" in files
    for name in (
        "Makefile",
        "requirements.lock",
        "lib/dgm/__init__.py",
        "chapters/02_vae.ipynb",
        "README.md",
    ):
        assert name in files
    assert not [
        n for n in files if n.startswith(("solutions", "tests", ".")) or "hidden" in n or "answers" in n
    ]


def test_the_stamp_names_every_file(files: dict[str, bytes]) -> None:
    stamp = json.loads(files[STAMP])
    assert set(stamp["sha256"]) == set(files) - {STAMP}
    assert len(stamp["release"]) == 12
    fewer = json.loads(bundle(ROOT, ["02_vae"])[STAMP])
    assert fewer["release"] != stamp["release"]
    assert fewer["exercises"] == ["02_vae"]


def leak(files: dict[str, bytes], name: str, data: bytes) -> dict[str, bytes]:
    return {**files, name: data}


def test_the_proof_can_fail(files: dict[str, bytes]) -> None:
    solution = SOLUTIONS / "02_vae.py"
    line = (
        b"    per_latent = 0.5 * (mu**2 + torch.exp(logvar) - 1 - logvar)\n    return per_latent.sum(dim=1)\n"
    )
    hidden = (SOLUTIONS / "checks" / "02_vae" / "hidden.py").read_bytes()
    for name, data, match in (
        (
            "exercises/02_vae.py",
            files["exercises/02_vae.py"] + line,
            "a line of a solution: return per_latent",
        ),
        ("exercises/notes.txt", hidden, "is solutions/checks/02_vae/hidden.py"),
        ("lib/hidden.py", b"x = 1", "is never shipped"),
        ("lib/copy.py", solution.read_bytes(), "is solutions/02_vae.py"),
        ("solutions/x.py", b"", "is never shipped"),
    ):
        with pytest.raises(Leak, match=match):
            prove(leak(files, name, data), SOLUTIONS)
    notebook = json.loads(files["exercises/02_vae.ipynb"])
    code = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    code["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "32 points"}]
    with pytest.raises(Leak, match="has outputs"):
        prove(leak(files, "exercises/02_vae.ipynb", json.dumps(notebook).encode()), SOLUTIONS)


def test_the_command_writes_and_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "course.zip"
    assert main(["02_vae", "--out", str(out), "--root", str(ROOT)]) == 0
    assert "nothing of solutions/ in them" in capsys.readouterr().out
    assert main(["--check", "--out", str(out), "--root", str(ROOT)]) == 0
    broken = leak(unzipped(out.read_bytes()), "lib/answers.py", b"")
    out.write_bytes(zipped(broken))
    assert main(["--check", "--out", str(out), "--root", str(ROOT)]) == 1
    assert "lib/answers.py is never shipped" in capsys.readouterr().err
    assert main(["--check", "--out", str(tmp_path / "gone.zip"), "--root", str(ROOT)]) == 1
    with pytest.raises(SystemExit):
        main(["99_nothing", "--root", str(ROOT)])
