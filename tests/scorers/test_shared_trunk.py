"""A head on the policy's trunk values what is sampled while it is sampled, as a pass over it would."""

from pathlib import Path

import pytest
import torch

from halluc_plugin.data.trace_files import fingerprint
from halluc_plugin.edits import EditVocab
from halluc_plugin.jobs.search_asked import SearchJob
from halluc_plugin.jobs.search_methods import Guidance, Method
from halluc_plugin.jobs.step_scorers import open_step_scorer
from halluc_plugin.sampling.hf import HFSampler
from halluc_plugin.sampling.networks import decoder_shape, load_network
from halluc_plugin.sampling.states import Response, Space, wanted
from halluc_plugin.scorers.prefixes import PrefixScorer
from halluc_plugin.scorers.saved import Made, Objective, Trunk, load_step_scorer, save_step_scorer
from halluc_plugin.scorers.shared_trunk import SharedTrunk
from halluc_plugin.scorers.steps import Spent
from halluc_plugin.scorers.value_head import new_value_head
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens.saving import save_model

TOKENIZER = number_tokenizer()
VOCAB = EditVocab(backtrack=TOKENIZER.convert_tokens_to_ids("<|BACKTRACK|>"))
ENDS = frozenset(range(100, 200))
SPACE = Space(VOCAB, frozenset(range(200, 240)), ENDS, max_tokens=20)
PROMPTS = [tuple(TOKENIZER.encode(text)) for text in ("3 +4 mod 10\n", "1 +1 *2 mod 10\n")] * 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A policy, another one, and scorers on the first one's trunk."""
    path = tmp_path_factory.mktemp("trunks")
    for name, seed in (("policy", 0), ("other", 1)):
        save_model(new_model(TOKENIZER, Size.TINY, seed=seed), TOKENIZER, path / name)
    head = new_value_head(str(path / "policy"))
    torch.nn.init.normal_(head.score.weight, generator=torch.Generator().manual_seed(0))
    for objective in (Objective.VALUE, Objective.PAIRWISE):
        for trunk in Trunk:
            made = Made(objective, fingerprint(TOKENIZER), "\n", ("halluc/chain",), trunk)
            save_step_scorer(head, TOKENIZER, path / f"{objective}-{trunk}", made)
    return path


def opened(folder, scorer, policy="policy"):
    """A sampler of a policy, and the scorer that a search opens beside it."""
    sampler = HFSampler(load_network(str(folder / policy)), SPACE, seed=3)
    job = SearchJob(
        model=str(folder / policy), data=Path("problems.parquet"), method=Method.BEST_OF_N,
        guidance=Guidance(scorer=str(folder / scorer)),
    )  # fmt: skip
    shape = decoder_shape(sampler.network.config)
    return sampler, open_step_scorer(job, [], SPACE, TOKENIZER, sampler=sampler, shape=shape)


def sampled(sampler, states=None):
    """The steps of an answer to each prompt, from states that were reached before."""
    states = [Response()] * len(PROMPTS) if states is None else states
    asked = [wanted(prompt, state, SPACE) for prompt, state in zip(PROMPTS, states, strict=True)]
    found = [state.extended(s) for state, s in zip(states, sampler.sample(asked), strict=True)]
    return found, [SPACE.steps(response.ids) for response in found]


@pytest.mark.parametrize("objective", [Objective.VALUE, Objective.PAIRWISE])
def test_what_is_sampled_is_valued_for_nothing(folder, objective):
    """Values, the bare prompt's included, are those of a scorer that computes whole answers, and pays."""
    sampler, scorer = opened(folder, f"{objective}-shared")
    assert isinstance(scorer, SharedTrunk)
    answers, steps = sampled(sampler)
    assert max(map(len, steps)) > 2
    whole = load_step_scorer(
        str(folder / f"{objective}-own"), TOKENIZER, step_delimiter="\n", data_sources=None
    )
    alone = whole.rate(PROMPTS, steps)
    found = scorer.rate(PROMPTS, steps)
    torch.testing.assert_close(found.values, alone.values, atol=1e-5, rtol=0, equal_nan=True)
    assert found.spent == [Spent()] * len(PROMPTS)
    assert all(spent.flops > 0 for spent in alone.spent[:2])
    # Suffixes of answers that were cut: what stands before them is known from before.
    cut = [answer.begun(len(of[0])) for answer, of in zip(answers, steps, strict=True)]
    _, revised = sampled(sampler, [state if state.ids[-1] in ENDS else Response() for state in cut])
    again = scorer.rate(PROMPTS, revised)
    assert again.spent == [Spent()] * len(PROMPTS)
    expected = whole.score(PROMPTS, revised)
    torch.testing.assert_close(again.values, expected, atol=1e-5, rtol=0, equal_nan=True)


def test_what_was_not_sampled_is_computed(folder):
    """An answer of somebody else beside a sampled one: it alone is paid for."""
    sampler, scorer = opened(folder, "value-shared")
    _, steps = sampled(sampler)
    other = [TOKENIZER.encode("3+4=7\n")]
    found = scorer.rate([PROMPTS[0], PROMPTS[1]], [steps[0], other])
    assert found.spent[0] == Spent()
    assert found.spent[1].scorer_tokens == len(PROMPTS[1]) + len(other[0])
    alone = load_step_scorer(
        str(folder / "value-own"), TOKENIZER, step_delimiter="\n", data_sources=None
    ).score([PROMPTS[0], PROMPTS[1]], [steps[0], other])
    torch.testing.assert_close(found.values, alone, atol=1e-5, rtol=0, equal_nan=True)


def test_the_oldest_values_are_dropped(folder, monkeypatch):
    """What was sampled long ago is computed again, what was sampled last is not."""
    _, scorer = opened(folder, "value-shared")
    monkeypatch.setattr("halluc_plugin.scorers.prefixes.REMEMBERED", 3)
    for prompt in PROMPTS[:2]:
        scorer.keep(prompt, TOKENIZER.encode("3+4=7\n"), [0.25] * 7)
    found = scorer.rate(PROMPTS[:2], [[TOKENIZER.encode("3+4=7\n")]] * 2)
    assert [spent == Spent() for spent in found.spent] == [False, True]
    assert found.values[1].tolist() == [0.25, 0.25]


@pytest.mark.parametrize(("scorer", "policy"), [("value-own", "policy"), ("value-shared", "other")])
def test_another_trunk_reads_nothing_while_sampling(folder, scorer, policy):
    """A scorer with a trunk of its own, or of another policy, computes what it values."""
    sampler, opened_scorer = opened(folder, scorer, policy)
    assert isinstance(opened_scorer, PrefixScorer)
    _, steps = sampled(sampler)
    assert all(spent.scorer_tokens > 0 for spent in opened_scorer.rate(PROMPTS, steps).spent)
