"""Our engine, built by name, sharded by real FSDP2 on a CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM


@pytest.mark.e2e
def test_sharded_engine_equals_a_plain_forward(tokenizer, tmp_path):
    """Log-probs, entropy and gradient norm are the sampled policy's: bans, hard context, both."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.3,
        tie_word_embeddings=True,
    )
    Qwen2ForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("engine_on_cpu.py")), str(tmp_path)],
        env={**os.environ, "VERL_PLATFORM": "cpu", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (line,) = (x for x in done.stdout.splitlines() if x.startswith("RESULT "))
    results = json.loads(line.removeprefix("RESULT "))
    assert set(results) == {"soft_banned", "hard", "hard_banned"}
    for result in results.values():
        assert result["log_probs"] < 1e-4
        assert result["entropy"] < 1e-4
        assert result["gradient"] < 1e-3 * result["norm"]
