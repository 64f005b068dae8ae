"""docs/tasks.md, carried out: the task of its page is built, installed, held to its contract and scored."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
BINARIES = Path(sys.executable).parent


def block(language, number=0):
    """One of the page's code blocks."""
    return re.findall(rf"^```{language}\n(.+?)^```$", PAGE, re.MULTILINE | re.DOTALL)[number]


COMMANDS = block("bash").splitlines()
FEWER = {
    "halluc data": " --train 40 --test 8",
    "HALLUC_DATA_DIR": " --device cpu --output_path out --gen_kwargs max_gen_toks=24",
    "pytest": " -q -p no:cacheprovider",
}
"""What makes a command of the page quick, by how it begins."""


def test_the_example_is_short():
    """A task is less than sixty lines, and its contract three statements."""
    assert block("python").count("\n") < 60
    statements = [line for line in block("python", 1).splitlines() if line and not line.startswith("@")]
    assert len(statements) == 4  # two imports, and a function of two lines


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the page's package installed in it."""
    source, target = tmp_path_factory.mktemp("acme-sorting"), tmp_path_factory.mktemp("site")
    (source / "acme_sorting.py").write_text(block("python"), encoding="utf-8")
    (source / "pyproject.toml").write_text(block("toml"), encoding="utf-8")
    install = [BINARIES / "uv", "--offline", "--quiet", "pip", "install", "--python", sys.executable]
    install += ["--no-deps", "--no-build-isolation", "--target", target, source]
    assert COMMANDS[0] == "pip install ."
    subprocess.run(install, check=True)
    return target


@pytest.fixture(scope="module")
def run(site, tmp_path_factory, tiny_model):
    """Runs a command of the page in a folder of its own, for a tiny model, on few problems."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "test_sorting.py").write_text(block("python", 1), encoding="utf-8")
    path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "PATH": f"{BINARIES}{os.pathsep}{os.environ['PATH']}",
        "HF_HUB_OFFLINE": "1",
    }

    def carried_out(begins):
        (line,) = (line for line in COMMANDS if line.startswith(begins))
        line = line.replace("MODEL", str(tiny_model)) + FEWER[begins]
        done = subprocess.run(
            ["sh", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return folder, done.stdout

    return carried_out


@pytest.mark.slow
@pytest.mark.e2e
def test_the_page_is_true(run):
    """The installed package keeps the contract, writes its data, and is scored by lm-eval."""
    _, said = run("pytest")
    assert re.search(r"^1[01] passed", said, re.MULTILINE)
    folder, said = run("halluc data")
    assert "train 40, test 8, test_long 8" in said
    assert (folder / "DATA" / "sorting" / "traces.parquet").is_file()
    folder, _ = run("HALLUC_DATA_DIR")
    (file,) = (folder / "out").rglob("results_*.json")
    results = json.loads(file.read_text())["results"]["sorting_backtrack"]
    assert results["sample_len"] == 4
    assert results["collapse_exact,trace"] == 1
    assert 0 <= results["exact_match,strict-match"] <= 1
