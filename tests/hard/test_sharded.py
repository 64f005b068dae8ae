"""Where FSDP2 has sharded the weights, the head is read while they are whole."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("family", ["qwen2", "granite", "gemma2"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_two_processes_read_what_one_does(family, checkpointing):
    """Log-probs and gradients, with tied weights, scaling and soft-caps, in one chunk and in several."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*torchrun, str(Path(__file__).with_name("sharded.py")), family, str(checkpointing)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    worst = [float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("WORST")]
    assert len(worst) == 2
    assert max(worst) < 2e-5
