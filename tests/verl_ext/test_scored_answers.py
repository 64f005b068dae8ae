"""verl's reward manager with a scorer of steps: values of states, the guard's numbers, early refusals."""

import asyncio
import json

import numpy as np
import pytest
import torch
from tensordict import TensorDict
from verl import DataProto
from verl.utils.reward_score import default_compute_score

from halluc_plugin.data.trace_files import fingerprint
from halluc_plugin.scorers.saved import Made, Objective, load_step_scorer, save_step_scorer
from halluc_plugin.scorers.value_head import new_value_head
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.tokens.loading import load_tokenizer
from halluc_plugin.tokens.saving import save_model
from verl_ext.recipe.callback import RunCallback
from verl_ext.reward_manager import BacktrackRewardManager

COUNTDOWN = {"numbers": [3, 5, 7], "target": 22}


def save_scorer(tokenizer, folder, *, source="halluc/countdown", delimiter="\n", objective=Objective.VALUE):
    """A small scorer that says something of every prefix."""
    save_model(new_model(tokenizer, Size.TINY, seed=0), tokenizer, folder / "policy")
    head = new_value_head(str(folder / "policy"))
    torch.nn.init.normal_(head.score.weight, generator=torch.Generator().manual_seed(0))
    made = Made(objective, fingerprint(tokenizer), delimiter, (source,))
    save_step_scorer(head, tokenizer, folder / "prm", made)
    return str(folder / "prm")


def data_of(ids, *, source, truth):
    """An answer as the agent loop worker sends it, with a padded prompt."""
    prompt, response = torch.tensor([[0, 0, 1, 2, 3]]), torch.tensor([[*ids, 0, 0]])
    mask = torch.tensor([[0, 0, 1, 1, 1, *[1] * len(ids), 0, 0]])
    row = {
        "data_source": source,
        "reward_model": {"style": "rule", "ground_truth": truth},
        "extra_info": {"index": 0},
        "tool_extra_fields": {"backtrack": {}},
        "__num_turns__": 2,
        "global_steps": 1,
    }
    return DataProto(
        batch=TensorDict({"prompts": prompt, "responses": response, "attention_mask": mask}, batch_size=1),
        non_tensor_batch={key: np.array([value], dtype=object) for key, value in row.items()},
    )


@pytest.mark.parametrize(("source", "truth"), [("halluc/countdown", COUNTDOWN), ("openai/gsm8k", "22")])
def test_a_scorer_values_the_states_of_answers(verl_config, tokenizer, tmp_path, source, truth):
    """On what is left of the prompt's answer at each, whoever judges answers; the last step is the judge's.

    Answers that are scored together give the same values.
    """
    name = save_scorer(tokenizer, tmp_path)
    verl_config.halluc = {
        "values": {"source": "prm", "scorer": name},
        "reward": {"weights": {"process": 1.0}},
    }
    table = tokenizer.get_vocab()

    def ids(text):
        return [table["<|BACKTRACK|>" if c == "!" else "<|im_end|>" if c == "$" else c] for c in text]

    text = "3+5=9\n!!!!!!3*5=15\n15+7=22\n$"
    data = [data_of(ids(part), source=source, truth=truth) for part in (text, text, "3*5=15\n15+7=22\n$")]

    async def call():
        manager = BacktrackRewardManager(verl_config, tokenizer, default_compute_score)
        return await asyncio.gather(*(manager.run_single(each) for each in data))

    results = asyncio.run(call())
    info = results[0]["reward_extra_info"]
    assert results[1] == results[0]
    scorer = load_step_scorer(name, tokenizer, step_delimiter="\n", data_sources=None)
    good = [ids("3*5=15\n"), ids("15+7=22\n$")]
    values = scorer.score([[1, 2, 3]] * 2, [good, [ids("3+5=9\n")]])
    (prompt, first, last), wrong = values[0].tolist(), values[1, 1].item()
    assert json.loads(info["moves"]) == [pytest.approx([wrong, prompt], abs=1e-5)]
    assert info["process"] == pytest.approx((first + info["acc"]) / 2, abs=1e-5)
    assert info["scorer_value"] == pytest.approx(last, abs=1e-5)
    assert info["scorer_disagrees"] == float((last >= 0.5) != bool(info["acc"]))
    assert json.loads(results[2]["reward_extra_info"]["moves"]) == []


def test_every_action_has_its_q(verl_config, tokenizer, tmp_path):
    """By a Q-function reward model, whose logit at each token of the live text it is; as JSON."""
    name = save_scorer(tokenizer, tmp_path, objective=Objective.PAIRWISE)
    verl_config.halluc = {
        "values": {"source": "prm", "scorer": name},
        "credit": {"alpha": 1.0, "units": "actions", "form": "q", "replaces": True},
    }
    table = tokenizer.get_vocab()
    ids = [table["<|BACKTRACK|>" if c == "!" else c] for c in "3+!*5"]
    data = data_of(ids, source="halluc/countdown", truth=COUNTDOWN)

    async def call():
        manager = BacktrackRewardManager(verl_config, tokenizer, default_compute_score)
        return await manager.run_single(data)

    told = json.loads(asyncio.run(call())["reward_extra_info"]["actions"])
    scorer = load_step_scorer(name, tokenizer, step_delimiter="\n", data_sources=None)
    texts = [[(token,) for token in text] for text in (ids[:2], [ids[0], *ids[3:]])]
    (_, three, plus), (_, again, times, five) = (
        scorer.score([[1, 2, 3]], [text])[0].logit().clamp(-13.8, 13.8).tolist() for text in texts
    )
    assert again == pytest.approx(three, abs=1e-4)
    assert told == pytest.approx([three, plus, three, times, five], abs=1e-4)


def test_a_scorer_that_does_not_fit_is_refused_early(config, capsys, model, tmp_path):
    """Missing, of another task or delimiter, or without the manager that asks it: one line each."""
    tokenizer = load_tokenizer(str(model))
    other = save_scorer(tokenizer, tmp_path / "other", source="halluc/chain")
    cut = save_scorer(tokenizer, tmp_path / "cut", delimiter=";")
    fits = save_scorer(tokenizer, tmp_path / "fits")
    capsys.readouterr()

    def refused(name, *overrides, recipe="halluc_grpo"):
        with pytest.raises(SystemExit):
            RunCallback().on_run_start(config(*asked(name), *overrides, recipe=recipe))
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        return said

    def asked(name):
        return ("++halluc.values.source=prm", f"++halluc.values.scorer={name}")

    assert "No config can be loaded" in refused(tmp_path / "absent")
    assert "is no scorer of steps" in refused(model)
    assert "trained by --objective value" in refused(fits, "halluc/credit=q_rm")
    assert "was trained on halluc/chain, not on halluc/countdown" in refused(other)
    assert "was trained on steps that end with ';'" in refused(cut)
    naive = "reward.reward_manager.name=naive"
    assert "halluc.values.scorer is set, but" in refused(fits, naive, recipe="grpo_baseline")
    RunCallback().on_run_start(config(*asked(fits), "+halluc.reward.weights.process_min=0.5"))
