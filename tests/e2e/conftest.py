"""Starts of verl's main command on the embedded task, as small as it gets."""

import json
import os
import subprocess
import sys
from functools import partial

import pytest

SMALL = (
    "halluc.prepare.train_problems=60",
    "halluc.prepare.test_problems=8",
    "halluc.prepare.warm_start_steps=40",
    "data.train_batch_size=8",
    "actor_rollout_ref.actor.ppo_mini_batch_size=4",
    "actor_rollout_ref.rollout.n=4",
    "trainer.test_freq=2",
    "trainer.save_freq=2",
)


class Run:
    """One start of the command in a folder of its own."""

    def __init__(self, make_folder, recipe: str, *always: str) -> None:
        self.folder = make_folder(recipe)
        self.recipe = recipe
        self.always = always
        self.checkpoints = self.folder / "checkpoints" / "halluc" / recipe

    def start(self, *overrides, recipe="", exit_code=0):
        """Run the command; returns what it printed."""
        given = (f"+recipe={recipe or self.recipe}", *SMALL, *self.always, *overrides)
        command = [sys.executable, "-m", "verl.trainer.main_ppo", *given]
        environment = {**os.environ, "HALLUC_HOME": str(self.folder / "home"), "COLUMNS": "200"}
        # Ray's workers step back for all others, and would wait until the tests beside this one are done.
        environment["RAY_worker_niceness"] = "0"
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        assert done.returncode == exit_code, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout + done.stderr

    def metrics(self, starts=slice(None)):
        """Every logged metric by step, of these starts."""
        found = {}
        for file in sorted((self.checkpoints / "metrics").glob("*.jsonl"))[starts]:
            for line in file.read_text().splitlines():
                record = json.loads(line)
                found.setdefault(record["step"], {}).update(record["data"])
        return found


@pytest.fixture(scope="session")
def new_run(tmp_path_factory):
    """A start of a recipe, by its name, in a folder of its own."""
    return partial(Run, tmp_path_factory.mktemp)
