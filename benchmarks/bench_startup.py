"""What our start-up file adds to every Python process. The bar is 1 ms.

``pytest benchmarks/bench_startup.py --benchmark-only`` times two things in one run: the start-up line in this
process, its modules forgotten before each round, and whole interpreters with and without it.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINE = (ROOT / "lm_eval_tasks" / "halluc_lm_eval.pth").read_text()
MODULES = ("lm_eval_tasks", "lm_eval_tasks._startup")


@pytest.fixture
def clean_import_system():
    """Put back what the start-up line changes."""
    finders, modules = sys.meta_path[:], {name: sys.modules.pop(name, None) for name in MODULES}
    sys.path.insert(0, str(ROOT))
    yield
    sys.path.remove(str(ROOT))
    sys.meta_path[:] = finders
    sys.modules.update({name: module for name, module in modules.items() if module is not None})


@pytest.mark.benchmark(group="start-up line")
@pytest.mark.usefixtures("clean_import_system")
def test_the_line(benchmark):
    """The start-up line with nothing of ours imported; compare with 1 ms."""

    def forget():
        for name in MODULES:
            sys.modules.pop(name, None)
        sys.meta_path[:] = [f for f in sys.meta_path if type(f).__name__ != "_Watcher"]

    code = compile(LINE, "halluc_lm_eval.pth", "exec")
    benchmark.pedantic(lambda: exec(code), setup=forget, rounds=500, warmup_rounds=20)


@pytest.mark.benchmark(group="whole interpreter")
@pytest.mark.parametrize("line", ["pass\n", LINE], ids=["baseline", "with-start-up-line"])
def test_an_interpreter(benchmark, line):
    """``python -c`` with and without the line; the difference is what a process pays."""
    # `site` imports `os` in every interpreter, -S spares us everybody's start-up files.
    code = f"import os, sys; sys.path.insert(0, {str(ROOT)!r})\n{line}"
    command = [sys.executable, "-I", "-S", "-c", code]
    benchmark.pedantic(lambda: subprocess.run(command, check=True), rounds=200, warmup_rounds=10)
