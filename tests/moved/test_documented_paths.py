"""Dotted paths in configs and documents of before modules moved: each still leads to its object."""

import pkgutil
import subprocess
import sys

import pytest
from hydra.utils import get_class, get_object
from verl.utils.import_utils import load_extern_object

DOCUMENTED = [
    "halluc_plugin.cli.app:main",
    "halluc_plugin.data.parquet.check_rows",
    "halluc_plugin.edits.Boundary",
    "halluc_plugin.edits.EditVocab",
    "halluc_plugin.edits.ErasedTokens",
    "halluc_plugin.edits.budget_mask",
    "halluc_plugin.edits.builders.ErasedTokens",
    "halluc_plugin.edits.collapse",
    "halluc_plugin.edits.events",
    "halluc_plugin.edits.logit_index",
    "halluc_plugin.edits.position_ids",
    "halluc_plugin.edits.resolve",
    "halluc_plugin.edits.resolve_row",
    "halluc_plugin.edits.response_mask",
    "halluc_plugin.edits.sft_labels",
    "halluc_plugin.edits.trace_record",
    "halluc_plugin.edits.tree_attention_mask",
    "halluc_plugin.metrics.judge_ids",
    "halluc_plugin.metrics.judge_reaction",
    "halluc_plugin.metrics.summarise_events",
    "halluc_plugin.rewards.Answer",
    "halluc_plugin.rewards.component",
    "halluc_plugin.rl.grpo.train_policy",
    "halluc_plugin.search.Rule",
    "halluc_plugin.search.run",
    "halluc_plugin.search.select",
    "halluc_plugin.search.self_backtracking",
    "halluc_plugin.settings.Context",
    "halluc_plugin.settings.CreditSettings",
    "halluc_plugin.settings.RewardSettings",
    "halluc_plugin.theory.credit.CreditChain",
    "halluc_plugin.theory.credit.Rule",
    "halluc_plugin.tokens.edit_vocab",
    "halluc_plugin.traces.restart",
    "halluc_plugin.training.fine_tune_low_rank",
    "halluc_plugin.vllm_engine.bans:RewindBans",
    "halluc_plugin.vllm_engine.budget:EditBudget",
    "halluc_plugin.vllm_engine.hard.ENGINE_ARGS",
    "halluc_plugin.vllm_engine.known_ids:KnownIds",
    "halluc_plugin.vllm_engine.request.EditRequest",
    "halluc_plugin.vllm_engine.scheduler.RewindScheduler",
    "halluc_plugin.vllm_engine.serving.CollapsedText",
    "lm_eval_tasks.countdown_backtrack.task.CountdownTask",
    "lm_eval_tasks.countdown_backtrack.task.Equations",
    "lm_eval_tasks.filters.Collapsed",
    "lm_eval_tasks.filters.Raw",
    "lm_eval_tasks.filters:Collapsed",
    "lm_eval_tasks.filters:Raw",
    "lm_eval_tasks.gsm8k_backtrack_cot.shots.stock_samples",
    "lm_eval_tasks.hendrycks_math_backtrack.task.MathTask",
    "lm_eval_tasks.hf_backtrack:HFBacktrack",
    "lm_eval_tasks.processbench_backtrack.task.ProcessBenchTask",
    "lm_eval_tasks.task.BacktrackTask",
    "lm_eval_tasks.verified.VerifiedTask",
    "lm_eval_tasks.vllm_backtrack:VLLMBacktrack",
    "verl_ext.callback.RunCallback",
    "verl_ext.cpu.refit.CpuRefitExtension",
    "verl_ext.rows_dataset.RowsDataset",
    "verl_ext.sft_callback.SFTCallback",
]
MODULES = [
    "halluc_plugin.data.parquet",
    "halluc_plugin.decoding",
    "halluc_plugin.edits",
    "halluc_plugin.edits.builders",
    "halluc_plugin.hard",
    "halluc_plugin.losses",
    "halluc_plugin.metrics",
    "halluc_plugin.probes",
    "halluc_plugin.recipes",
    "halluc_plugin.recipes.credit.run",
    "halluc_plugin.recipes.self_backtracking.run",
    "halluc_plugin.recipes.sequence_match.run",
    "halluc_plugin.recipes.soft_or_hard.run",
    "halluc_plugin.rewards",
    "halluc_plugin.rl.answers",
    "halluc_plugin.rl.grpo",
    "halluc_plugin.search",
    "halluc_plugin.search.verdicts",
    "halluc_plugin.settings",
    "halluc_plugin.theory",
    "halluc_plugin.theory.credit",
    "halluc_plugin.tokens",
    "halluc_plugin.trace_log",
    "halluc_plugin.traces",
    "halluc_plugin.vllm_engine.hard",
    "halluc_plugin.vllm_engine.request",
    "lm_eval_tasks.task",
    "verl_ext.guard",
    "verl_ext.rollout_watch",
    "verl_ext.sft_dataset",
]

pytestmark = pytest.mark.filterwarnings("ignore:.*the old name goes in halluc:FutureWarning")


@pytest.mark.parametrize("path", DOCUMENTED)
def test_an_object_is_found(path):
    """As vLLM, lm-eval and Python look it up."""
    assert callable(pkgutil.resolve_name(path)) or path.endswith("ENGINE_ARGS")


@pytest.mark.parametrize("path", MODULES)
def test_a_module_is_found(path):
    """As documents name it."""
    assert pkgutil.resolve_name(path).__name__ == path


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("verl_ext.callback.RunCallback", "RunCallback"),
        ("verl_ext.sft_callback.SFTCallback", "SFTCallback"),
        ("verl_ext.cpu.refit.CpuRefitExtension", "CpuRefitExtension"),
    ],
)
def test_hydra_finds_what_a_saved_config_names(path, name):
    """``_target_`` of a run that was started before."""
    assert get_class(path).__name__ == name
    assert get_object(path) is get_class(path)


def test_verl_finds_the_data_set_by_its_package():
    """``data.custom_cls.path=pkg://verl_ext.sft_dataset``."""
    assert load_extern_object("pkg://verl_ext.sft_dataset", "TraceSFTDataset").__name__ == "TraceSFTDataset"


def test_the_documented_check_judges_as_before(tmp_path):
    """The command of the old document names the first row that verl could not train on, by its truth too."""
    rows = tmp_path / "train.jsonl"
    rows.write_text(
        '{"data_source": "openai/gsm8k", "prompt": [{"role": "user", "content": "1+1?"}],'
        ' "reward_model": {"ground_truth": ""}}\n'
    )
    code = (
        "from pathlib import Path; from halluc_plugin.data.parquet import check_rows; "
        f"check_rows(Path({str(rows)!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "row 0" in done.stderr
    assert "halluc_plugin.data.parquet.check_rows is now halluc_plugin.tasks.check_rows" in done.stderr
