"""A part's samples from vLLM depend on its number alone, wherever an interrupted command goes on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("vllm")

from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN
from halluc_plugin.tokens.loading import save_tokenizer
from halluc_plugin.vllm_engine.sampler import VLLMSampler


class Engine:
    """Notes what it is told."""

    def __init__(self):
        self.told = []

    def collective_rpc(self, name, args):
        """As ``vllm.LLM``."""
        self.told.append((name, args))

    def reset_prefix_cache(self):
        """As ``vllm.LLM``."""
        self.told.append("cache")


def test_reseeding_tells_workers_and_empties_the_cache():
    """Both decide which random number a token gets."""
    engine = Engine()
    VLLMSampler(engine, None).reseed(7)
    assert engine.told == [("halluc_reseed", (7,)), "cache"]


@pytest.mark.slow
@pytest.mark.e2e
def test_a_part_is_the_same_wherever_it_comes(tmp_path):
    """Behind another part and behind itself a part of one seed has the same ids; another seed has not."""
    tokenizer, model_path = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,)), tmp_path / "model"
    assert len(tokenizer) == 674
    new_model(tokenizer, Size.TINY, seed=0).save_pretrained(model_path)
    save_tokenizer(tokenizer, model_path)
    script, out = Path(__file__).with_name("reseeded_on_cpu.py"), tmp_path / "found.json"
    done = subprocess.run(
        [sys.executable, str(script), str(model_path), str(out)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False, timeout=580,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(out.read_text())
    assert found["behind another"] == found["alone"]
    assert found["another seed"] != found["alone"]
    assert len({tuple(ids) for ids in found["alone"]}) > 4
