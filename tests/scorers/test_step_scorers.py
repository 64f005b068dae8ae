"""Readers of step values: each is held against one forward pass of its model over the prefix alone."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForTokenClassification

from halluc_plugin.data.trace_files import fingerprint
from halluc_plugin.errors import DataError, TokenizerError
from halluc_plugin.sampling.networks import decoder_shape
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.scorers import step_verdicts, value_head
from halluc_plugin.scorers.prefixes import PrefixScorer, prefixes_of
from halluc_plugin.scorers.saved import (
    Made,
    Objective,
    Trunk,
    load_on_trunk,
    load_step_scorer,
    save_step_scorer,
)
from halluc_plugin.scorers.step_oracle import StepOracle
from halluc_plugin.scorers.step_verdicts import StepLikelihoods, StepVerdicts
from halluc_plugin.scorers.value_head import ValueHead, new_value_head, share_trunk
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tasks.chain import ChainVerifier
from halluc_plugin.tokens.loading import save_tokenizer
from halluc_plugin.tokens.saving import save_model

TOKENIZER = number_tokenizer()
EOS = TOKENIZER.eos_token_id
SOURCE = "halluc/chain"


def ids(text):
    """Of the tokenizer."""
    return TOKENIZER.encode(text)


PROMPTS = [ids("3 +4 *7 mod 10\n"), ids("1 +1 mod 10\n"), ids("3 +4 *7 mod 10\n")]
STEPS = [
    [ids("3+4=7\n"), [*ids("7*7=9\n"), EOS]],
    [[*ids("1+1=2\n"), EOS]],
    [ids("3+4=8\n"), ids("8*7=6\n")],
]
ROWS = prefixes_of(PROMPTS, STEPS)


@pytest.fixture
def policy(tmp_path):
    """The folder of a small policy."""
    save_model(new_model(TOKENIZER, Size.TINY, seed=0), TOKENIZER, tmp_path / "policy")
    return tmp_path / "policy"


@pytest.fixture
def head(policy):
    """A value head that says something."""
    model = new_value_head(str(policy)).eval()
    torch.nn.init.normal_(model.score.weight, generator=torch.Generator().manual_seed(0))
    return model


def alone(row, read):
    """What is read behind each prefix of a row by a pass over nothing else."""
    with torch.no_grad():
        return [float(read(torch.tensor([row.ids[:end]]))) for end in row.ends]


@pytest.mark.parametrize("tokens", [1, 64, 1 << 14])
def test_a_value_head_is_read_where_steps_end(head, monkeypatch, tokens):
    """Of ragged rows in whatever passes: σ of the logit at the last id of each prefix."""
    monkeypatch.setattr(value_head, "TOKENS", tokens)
    for row, values in zip(ROWS, ValueHead(head).values(ROWS), strict=True):
        expected = alone(row, lambda part: head(part).logits[0, -1, 0].sigmoid())
        assert values == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("tokens", [1, 16, 1 << 14])
def test_a_prompt_of_several_rows_is_computed_once(head, monkeypatch, tokens):
    """Values stay those of each prefix alone, of ragged rows, of bare prompts, and in whatever passes."""
    monkeypatch.setattr(value_head, "TOKENS", tokens)
    prompts = [*PROMPTS, PROMPTS[0], PROMPTS[0], PROMPTS[1], ids("2 +2 mod 10\n")]
    rows = prefixes_of(prompts, [*STEPS, [], [ids("3+4=7\n")], [ids("2\n"), ids("1\n")], []])
    seen = []
    hook = head.register_forward_pre_hook(
        lambda _, __, given: seen.append(given["input_ids"].tolist()), with_kwargs=True
    )
    found = ValueHead(head).values(rows)
    hook.remove()
    for row, values in zip(rows, found, strict=True):
        assert values == pytest.approx(
            alone(row, lambda part: head(part).logits[0, -1, 0].sigmoid()), abs=1e-5
        )
    shared = [ids_ for batch in seen for ids_ in batch if ids_[: len(PROMPTS[1])] == PROMPTS[1]]
    assert shared == [PROMPTS[1]]


def test_a_cached_prompt_counts_in_a_pass(head, monkeypatch):
    """Keys and values of the prompt are held for each row: a long prompt makes passes of fewer rows."""
    rows = prefixes_of([PROMPTS[0]] * 4, [[ids("1\n")], [ids("2\n")], [ids("3\n")], [ids("4\n")]])
    monkeypatch.setattr(value_head, "TOKENS", 2 * (len(PROMPTS[0]) + 2))
    passes = []
    hook = head.register_forward_pre_hook(
        lambda _, __, given: passes.append(tuple(given["input_ids"].shape)), with_kwargs=True
    )
    ValueHead(head).values(rows)
    hook.remove()
    assert passes == [(1, len(PROMPTS[0])), (2, 2), (2, 2)]


def test_a_new_head_knows_nothing(policy):
    """Every value is 1/2, and the trunk is the policy's."""
    model = new_value_head(str(policy)).eval()
    assert {value for row in ValueHead(model).values(ROWS) for value in row} == {0.5}
    trunk = AutoModelForCausalLM.from_pretrained(policy).model.state_dict()
    assert all(torch.equal(value, trunk[name]) for name, value in model.model.state_dict().items())


def test_a_bare_prompt_that_is_not_learned_is_a_half(head):
    """Where only responses to one prompt are compared, its own value is none."""
    assert [row[0] for row in ValueHead(head, from_prompt=False).values(ROWS)] == [0.5] * 3


@pytest.mark.parametrize("tokens", [1, 1 << 12])
def test_a_verdict_is_read_where_steps_end(policy, monkeypatch, tokens):
    """The share of right among right and wrong, of the id that would follow each prefix."""
    monkeypatch.setattr(step_verdicts, "TOKENS", tokens)
    model = AutoModelForCausalLM.from_pretrained(policy).eval()
    wrong, right = ids("0")[0], ids("1")[0]

    def share(part):
        both = model(part).logits[0, -1].softmax(-1)
        return both[right] / (both[right] + both[wrong])

    for row, values in zip(ROWS, StepVerdicts(model, TOKENIZER).values(ROWS), strict=True):
        assert values == pytest.approx(alone(row, share), abs=1e-5)


def test_a_likelihood_is_that_of_the_step(policy):
    """The geometric mean of the probabilities of a step's ids; the bare prompt has 1."""
    model = AutoModelForCausalLM.from_pretrained(policy).eval()
    for row, values in zip(ROWS, StepLikelihoods(model).values(ROWS), strict=True):
        with torch.no_grad():
            scores = model(torch.tensor([row.ids])).logits[0].log_softmax(-1)
        expected = [1.0]
        for start, end in zip(row.ends, row.ends[1:], strict=False):
            of_step = [scores[place - 1, row.ids[place]] for place in range(start, end)]
            expected.append(float(torch.stack(of_step).mean().exp()))
        assert values == pytest.approx(expected, abs=1e-5)


def test_the_oracle_says_what_can_still_be_right():
    """1 until the first wrong step, 0 from there; after EOS only a whole right answer is 1."""
    truth = {"start": 3, "operations": ["+4", "*7"], "modulus": 10, "form": "steps"}
    problem = PosedProblem(tuple(PROMPTS[0]), truth, ChainVerifier())
    scorer = StepOracle([problem], TOKENIZER, {EOS})
    early = [[*ids("3+4=7\n"), EOS]]
    found = scorer.rate([PROMPTS[0]] * 3, [STEPS[0], STEPS[2], early])
    assert found.values[:2].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert found.values[2, :2].tolist() == [1, 0]
    assert {spent.flops for spent in found.spent} == {0}
    with pytest.raises(DataError, match="1 of 1 prompts are none of the oracle's problems"):
        scorer.score([PROMPTS[1]], [STEPS[1]])


def saved(model, folder, objective, trunk=Trunk.OWN):
    """A model in files that say what it was made for."""
    save_step_scorer(
        model, TOKENIZER, folder, Made(objective, fingerprint(TOKENIZER), "\n", (SOURCE,), trunk)
    )
    return str(folder)


def load(name, **changes):
    """For the steps that it was made for, but for what is changed."""
    return load_step_scorer(name, TOKENIZER, **({"step_delimiter": "\n", "data_sources": {SOURCE}} | changes))


def test_a_saved_scorer_gives_the_same_values(head, policy, tmp_path):
    """What reads it is found in its config; transformers loads it by itself."""
    name = saved(head, tmp_path / "prm", Objective.VALUE)
    expected = PrefixScorer(ValueHead(head), decoder_shape(head.config)).rate(PROMPTS, STEPS)
    found = load(name).rate(PROMPTS, STEPS)
    torch.testing.assert_close(found.values, expected.values, equal_nan=True)
    assert found.spent == expected.spent
    plain = AutoModelForTokenClassification.from_pretrained(name).eval()
    assert torch.equal(plain.score.weight, head.score.weight)
    assert "with the objective `value`" in (tmp_path / "prm" / "README.md").read_text()
    assert load(saved(head, tmp_path / "orm", Objective.OUTCOME)).score(PROMPTS, STEPS)[0, 0] == 0.5
    model = AutoModelForCausalLM.from_pretrained(policy).eval()
    verdicts = load(saved(model, tmp_path / "said", Objective.VERDICT)).score(PROMPTS, STEPS)
    assert verdicts[1, :2].tolist() == pytest.approx(StepVerdicts(model, TOKENIZER).values(ROWS)[1])


def test_a_shared_trunk_is_the_policys(head, policy, tmp_path):
    """One copy of it is in memory, with the same values; a head that stands on another is refused."""
    name = saved(head, tmp_path / "prm", Objective.VALUE, Trunk.SHARED)
    model = AutoModelForCausalLM.from_pretrained(policy).eval()
    values = load(name, policy=model).score(PROMPTS, STEPS)
    torch.testing.assert_close(values, load(name).score(PROMPTS, STEPS), equal_nan=True)
    assert share_trunk(head, model).model is model.model
    with pytest.raises(TokenizerError, match="trained on another trunk"):
        load(name, policy=new_model(TOKENIZER, Size.TINY, seed=1))


def test_a_head_reads_a_trunk_of_half_precision(policy, tmp_path):
    """A head that was trained in float32 on a policy in bfloat16 values by what that trunk computes."""
    model = AutoModelForCausalLM.from_pretrained(policy, dtype=torch.bfloat16).eval()
    model.save_pretrained(tmp_path / "half")
    save_tokenizer(TOKENIZER, tmp_path / "half")
    head = new_value_head(str(tmp_path / "half")).eval()
    torch.nn.init.normal_(head.score.weight, generator=torch.Generator().manual_seed(0))
    name = saved(head, tmp_path / "prm", Objective.VALUE, Trunk.SHARED)
    values = load(name, policy=model).score(PROMPTS, STEPS)
    torch.testing.assert_close(values, load(name).score(PROMPTS, STEPS), atol=0.05, rtol=0, equal_nan=True)
    hidden = model.model(torch.tensor([PROMPTS[1]])).last_hidden_state[:, -1]
    on_trunk = load_on_trunk(name, model, [EOS])
    assert on_trunk.read(hidden).tolist() == [pytest.approx(float(values[1, 0]), abs=1e-6)]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"step_delimiter": ";"}, r"steps that end with '\\n', these end with ';'"),
        ({"data_sources": {SOURCE, "halluc/dag"}}, "trained on halluc/chain, not on halluc/dag"),
    ],
)
def test_other_steps_are_refused(head, tmp_path, changes, told):
    """A scorer knows the steps and the problems that it was trained on."""
    name = saved(head, tmp_path / "prm", Objective.VALUE)
    with pytest.raises(TokenizerError, match=told):
        load(name, **changes)


def test_another_tokenizer_is_refused(head, tmp_path):
    """Its ids would be read as others."""
    name = saved(head, tmp_path / "prm", Objective.VALUE)
    other = number_tokenizer()
    other.add_tokens(["more"])
    with pytest.raises(TokenizerError, match="reads the ids of tokenizer"):
        load_step_scorer(name, other, step_delimiter="\n", data_sources={SOURCE})


def test_a_model_that_is_no_scorer_is_refused(policy):
    """A policy's config says nothing of steps."""
    with pytest.raises(TokenizerError, match="is no scorer of steps"):
        load(str(policy))
