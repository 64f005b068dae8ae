"""``halluc search`` by values of steps: every method and scorer runs on chains, and bad input is refused."""

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.errors import TokenizerError
from halluc_plugin.jobs.search_asked import SearchJob
from halluc_plugin.jobs.search_methods import GUIDED, Guidance, Method, ScorerKind
from halluc_plugin.jobs.search_plans import ASKED, TOLD, reflection
from halluc_plugin.sampling.states import End, Sample
from halluc_plugin.scorers.prefixes import PrefixScorer
from halluc_plugin.scorers.saved import Made, Objective, save_step_scorer
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tasks.chain.problems import apply
from halluc_plugin.tokens.loading import save_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    """The number-level tokenizer, without edits."""
    return number_tokenizer(edit_tokens=())


@pytest.fixture(scope="module")
def problems(tmp_path_factory):
    """Six chains."""
    folder = tmp_path_factory.mktemp("data")
    asked = ["data", "chain", "--train", "8", "--test", "6", "--backtracking", "0", "--out", str(folder)]
    assert CliRunner().invoke(app, asked).exit_code == 0
    return folder / "chain" / "test.parquet"


@pytest.fixture(scope="module")
def model(tmp_path_factory, tokenizer):
    """A model with random weights."""
    folder = tmp_path_factory.mktemp("model")
    new_model(tokenizer, Size.TINY, seed=0).save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return folder


class Chains:
    """Works chains out, and errs in a quarter of its steps."""

    def __init__(self, tokenizer):
        self._tokenizer = tokenizer
        self.reseed(0)

    def reseed(self, seed):
        """Begin anew."""
        self._rng = np.random.default_rng(seed)

    def sample(self, requests):
        """The rest of an answer each, cut to what was asked for."""
        return [self._one(request) for request in requests]

    def _one(self, request):
        ids = [*self._tokenizer.encode(self._rest(request.prefix), add_special_tokens=False)]
        ids = [*ids, self._tokenizer.eos_token_id][: request.max_tokens]
        stop = next((at for at, i in enumerate(ids, 1) if i in request.stop_ids), len(ids))
        ends = {self._tokenizer.eos_token_id: End.EOS}
        end = ends.get(ids[stop - 1], End.STEP) if ids[stop - 1] in request.stop_ids else End.LENGTH
        return Sample(tuple(ids[:stop]), (-0.5,) * stop, end)

    def _rest(self, prefix):
        text = self._tokenizer.decode(list(prefix))
        if text.endswith(ASKED):
            return "it is all wrong"
        problem, *lines = text.rsplit("\n\n", 1)[-1].splitlines()
        start, *operations = problem.split()[:-2]
        value = int(lines[-1].split("=")[1]) if lines else int(start)
        rest = []
        for operation in operations[len(lines) :]:
            after = (apply(operation, value, 10) + int(self._rng.random() < 0.25)) % 10
            rest.append(f"{value}{operation}={after}\n")
            value = after
        return "".join(rest)


@pytest.fixture
def search(model, problems, tokenizer, monkeypatch):
    """Runs the command on them; the model that answers works chains out."""
    opened = "halluc_plugin.jobs.search_models.open_sampler"
    monkeypatch.setattr(opened, lambda *_, **__: Chains(tokenizer))

    def run(*options, data=problems):
        fixed = ["search", "--model", str(model), "--data", str(data), "--max-tokens", "96", "-k", "2"]
        return CliRunner().invoke(app, [*fixed, *options])

    return run


@pytest.fixture
def found(search, tmp_path):
    """Searches, and gives the lines of the answers file and what was printed."""

    def run(*options):
        out = tmp_path / "answers.jsonl"
        done = search(*options, "--out", str(out))
        assert done.exit_code == 0, done.exception
        return [json.loads(line) for line in out.read_text().splitlines()], done.stdout

    return run


@pytest.mark.parametrize("method", sorted(GUIDED))
def test_every_method_answers(found, model, method):
    """With the oracle, which costs nothing, some answers are right; the file says what guided the search."""
    further = ("--draft", str(model)) if method is Method.DRAFT_VERIFY else ()
    answers, said = found("--method", method, "--scorer", "oracle", *further)
    assert f"{method}, oracle, 6 problems" in said
    assert len(answers) == 6
    assert any(one["correct"] for one in answers)
    for one in answers:
        assert one["draft_tokens" if further else "tokens"] > 0
        assert (one["scorer_tokens"], one["rollout_tokens"], one["scorer_flops"]) == (0, 0, 0)
        assert one["flops"] > 0
        assert one["search"]["guidance"]["scorer"] == "oracle"
        assert one["search"]["rule"] is None


def test_revision_by_the_oracle_solves_all(found):
    """Each mistake is found and written anew; from the first step it takes more tokens."""
    asked = ("--method", "revise", "--scorer", "oracle", "--revisions", "60", "--p-des", "1")
    by_advantage, _ = found(*asked, "--better", "progress")
    from_first, _ = found(*asked, "--arm", "first", "--better", "progress")
    assert all(one["correct"] for one in by_advantage)
    assert sum(one["tokens"] for one in by_advantage) < sum(one["tokens"] for one in from_first)


@pytest.mark.parametrize("kind", sorted(set(ScorerKind) - {ScorerKind.ORACLE}))
def test_every_kind_of_scorer_rates(found, kind):
    """Monte-Carlo values are sampled by the model that answers, the others are what it states itself."""
    limits = ("--continuations", "2") if kind is ScorerKind.MONTE_CARLO else ()
    answers, _ = found("--method", "value-beam", "--budget", "2", "--scorer", kind, *limits)
    paid = "rollout_tokens" if kind is ScorerKind.MONTE_CARLO else "scorer_tokens"
    for one in answers:
        assert one[paid] > 0
        assert 0 < one["scorer_flops"] < one["flops"]


@pytest.fixture(scope="module")
def scorers(tmp_path_factory, tokenizer):
    """Verdict scorers with random weights: one of these steps, and one for each way to be of others."""
    from halluc_plugin.data.trace_files import fingerprint

    mine = {"tokenizer": fingerprint(tokenizer), "step_delimiter": "\n", "data_sources": ("halluc/chain",)}
    others = {
        "right": {},
        "ids": {"tokenizer": "another"},
        "delimiter": {"step_delimiter": ";"},
        "task": {"data_sources": ("halluc/dag",)},
        "turns": {"turns": True},
    }
    folders = {}
    for name, other in others.items():
        folders[name] = tmp_path_factory.mktemp(name)
        model = new_model(tokenizer, Size.TINY, seed=1)
        save_step_scorer(model, tokenizer, folders[name], Made(Objective.VERDICT, **(mine | other)))
    return folders


def test_a_scorer_in_files_rates(found, scorers):
    """Its folder is named in the answers, and what it computed is counted."""
    answers, _ = found("--method", "revise", "--scorer", str(scorers["right"]), "--p-des", "1")
    for one in answers:
        assert one["search"]["guidance"]["scorer"] == str(scorers["right"])
        assert one["scorer_tokens"] > 0


@pytest.mark.parametrize(("other", "said"), [("ids", "ids of"), ("delimiter", "';'"), ("task", "halluc/dag")])
def test_a_scorer_of_other_steps_is_refused(search, scorers, other, said, monkeypatch):
    """Before the model that answers is loaded."""
    monkeypatch.setattr("halluc_plugin.jobs.search_models.open_sampler", None)
    assert said in str(search("--method", "revise", "--scorer", str(scorers[other])).exception)


def test_a_scorer_of_shorter_answers_is_refused(search, scorers, tmp_path, monkeypatch):
    """It has no positions for a prompt with its answer; before the model that answers is loaded."""
    monkeypatch.setattr("halluc_plugin.jobs.search_models.open_sampler", None)
    shutil.copytree(scorers["right"], tmp_path / "short")
    config = tmp_path / "short" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": 64}))
    done = search("--method", "revise", "--scorer", str(tmp_path / "short"))
    assert "positions" in str(done.exception)


def test_a_scorer_of_turns_reads_the_answers_before(found, scorers, monkeypatch):
    """Behind the problem stand the last revised answers, each told to be incorrect, never more than asked."""
    read = []

    class Listening(PrefixScorer):
        def rate(self, prompts, steps):
            read.extend(tuple(prompt) for prompt in prompts)
            return super().rate(prompts, steps)

    monkeypatch.setattr("halluc_plugin.scorers.saved.PrefixScorer", Listening)
    asked = ("--method", "revise", "--scorer", str(scorers["turns"]), "--p-des", "1", "--better", "progress")
    answers, _ = found(*asked, "--turns", "2", "--revisions", "12")
    assert answers[0]["search"]["guidance"]["turns"] == 2
    tokenizer = number_tokenizer(edit_tokens=())
    questions = [tokenizer.decode(list(ids)).count("Is the turn correct? no\n") for ids in read]
    assert set(questions) == {0, 1, 2}
    assert questions[: len(answers)] == [0] * len(answers)  # the first answers


def test_earlier_answers_are_shown_to_scorers_of_turns_alone(search, scorers, tmp_path, monkeypatch):
    """One that knows of no turns is refused, with both causes, and one without positions for the turns."""
    monkeypatch.setattr("halluc_plugin.jobs.search_models.open_sampler", None)
    done = search("--method", "revise", "--scorer", str(scorers["right"]), "--turns", "2")
    assert "first answers alone, or on a file of turns that an older halluc wrote" in str(done.exception)
    assert "write the file again with `halluc data turns`" in str(done.exception)
    shutil.copytree(scorers["turns"], tmp_path / "short")
    config = tmp_path / "short" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": 250}))
    assert "positions" in str(
        search("--method", "revise", "--scorer", str(tmp_path / "short"), "--turns", "2").exception
    )


def test_a_corrector_revises(found, model):
    """Its tokens are counted apart, its FLOPs with the others."""
    asked = ("--method", "revise", "--scorer", "oracle", "--corrector", str(model), "--p-des", "1")
    answers, said = found(*asked)
    assert "tokens of the corrector" in said
    assert any(one["corrector_tokens"] for one in answers)
    assert all(one["tokens"] <= 96 for one in answers)


def test_another_model_of_other_ids_is_refused(search, tmp_path):
    """What it would write could not be read, of a corrector and of a draft."""
    other = number_tokenizer(edit_tokens=("<|BACKTRACK|>",))
    new_model(other, Size.TINY, seed=0).save_pretrained(tmp_path)
    save_tokenizer(other, tmp_path)
    done = search("--method", "revise", "--scorer", "oracle", "--corrector", str(tmp_path))
    assert "corrector" in str(done.exception)
    assert "another tokenizer" in str(done.exception)
    done = search("--method", "draft-verify", "--scorer", "oracle", "--draft", str(tmp_path))
    assert f"The draft {tmp_path} has another tokenizer" in str(done.exception)


def test_a_draft_is_verified_and_counted(found, model):
    """What the oracle refutes is taken back, so every answer is right; drafts are counted by themselves."""
    asked = ("--method", "draft-verify", "--scorer", "oracle", "--draft", str(model), "-k", "40")
    answers, said = found(*asked)
    assert "tokens of the draft" in said
    assert all(one["correct"] for one in answers)
    assert any(one["tokens"] == 0 for one in answers)  # no step was left to the model itself
    for one in answers:
        assert one["draft_tokens"] > 0
        assert one["flops"] > 0
        assert one["search"]["guidance"]["draft"] == str(model)


def test_the_first_layers_draft(found, model):
    """Nothing is accepted at 1, so the model writes every step, and what it verifies is the scorer's cost."""
    asked = ("--method", "draft-verify", "--scorer", "likelihood", "--draft-layers", "1", "--accept", "1")
    answers, said = found(*asked)
    assert "tokens of the draft" in said
    for one in answers:
        assert one["draft_tokens"] > 0
        assert one["tokens"] > 0
        assert 0 < one["scorer_flops"] < one["flops"]


def test_a_model_reads_what_it_said_of_its_answers(search, monkeypatch, tokenizer):
    """Behind a wrong answer it is asked, and its words stand in front of the problem from then on."""
    asked = []

    class Listening(Chains):
        def sample(self, requests):
            asked.extend(self._tokenizer.decode(list(request.prefix)) for request in requests)
            return super().sample(requests)

    monkeypatch.setattr(
        "halluc_plugin.jobs.search_models.open_sampler", lambda *_, **__: Listening(tokenizer)
    )
    done = search("--method", "lats", "--scorer", "oracle", "--reflect", "-k", "1", "--budget", "3")
    assert done.exit_code == 0, done.exception
    assert any(text.endswith(ASKED) for text in asked)
    assert any(text.startswith(f"{TOLD}- it is all wrong\n") and "mod 10" in text for text in asked)


def test_a_tokenizer_without_words_cannot_reflect():
    """One that cannot write what the model would be told."""

    class Numbers:
        def encode(self, text, add_special_tokens):
            return [int(digit) for digit in text if digit.isdigit()]

        def decode(self, ids):
            return "".join(map(str, ids))

    with pytest.raises(TokenizerError, match="cannot write the words"):
        reflection((1,), Numbers())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--method", "revise"), "needs values of steps"),
        (("--scorer", "oracle"), "--scorer has no meaning for --method backtrack"),
        (("--method", "sample", "--omega", "0.1"), "--omega has no meaning"),
        (("--method", "revise", "--scorer", "oracle", "--rule", "majority"), "--rule has no meaning"),
        (("--method", "revise", "--scorer", "oracle", "--omega", "-0.1"), "omega is -0.1"),
        (("--method", "revise", "--scorer", "oracle", "--p-des", "1.5"), "p_des is 1.5"),
        (("--method", "revise", "--scorer", "oracle", "--revisions", "-1"), "revisions -1"),
        (("--method", "revise", "--scorer", "oracle", "--budget", "0"), "width is 0"),
        (("--method", "revise", "--scorer", "oracle", "--continuations", "4"), "--scorer monte-carlo"),
        (("--method", "revise", "--scorer", "oracle", "--turns", "2"), "--turns has no meaning for --scorer"),
        (("--method", "lats", "--scorer", "prm", "--turns", "2"), "--turns has no meaning for --method"),
        (("--method", "revise", "--scorer", "prm", "--turns", "0"), "--turns is 0"),
        (("--method", "revise", "--scorer", "prm", "--turns", "2", "--budget", "4"), "no turns that"),
        (("--method", "revise", "--scorer", "oracle", "--verifier", "x"), "go together"),
        (("--method", "revise", "--scorer", "verdict", "--verifier-says", "verdict"), "--verifier-says"),
        (("--method", "value-beam", "--scorer", "oracle", "--lookahead", "-1"), "look-ahead -1"),
        (("--method", "lats", "--scorer", "oracle", "--exploration", "-1"), "exploration"),
        (("--method", "subpool", "--scorer", "oracle", "--share", "0"), "share is 0"),
        (("--method", "subpool", "--scorer", "oracle", "--rounds", "0"), "rounds 0"),
        (("--method", "ts-llm", "--scorer", "oracle", "--reflect"), "--reflect has no meaning"),
        (("--method", "revise", "--scorer", "monte-carlo", "--continuations", "0"), "0 continuations"),
        (("--method", "revise", "--scorer", "oracle", "--accept", "0.5"), "--accept has no meaning"),
        (("--method", "draft-verify", "--draft-layers", "1"), "needs values of steps"),
        (("--method", "draft-verify", "--scorer", "oracle"), "needs one model that drafts"),
        (
            ("--method", "draft-verify", "--scorer", "oracle", "--draft", "x", "--draft-layers", "1"),
            "needs one model that drafts",
        ),
        (
            ("--method", "draft-verify", "--scorer", "oracle", "--draft-layers", "1", "--accept", "1.5"),
            "accept is 1.5",
        ),
        (("--method", "draft-verify", "--scorer", "oracle", "--draft-layers", "4"), "Give 1 to 3"),
        (
            ("--method", "draft-verify", "--scorer", "oracle", "--draft", "x", "--backend", "vllm"),
            "--backend hf with --draft",
        ),
        (
            ("--method", "revise", "--scorer", "oracle", "--corrector", "x", "--backend", "vllm"),
            "--backend hf with --corrector",
        ),
        (
            ("--method", "weighted-majority", "--scorer", "oracle", "--reward-function", "x:y"),
            "votes on what answers come to",
        ),
    ],
)
def test_bad_input(search, options, said):
    """One error that names the option."""
    assert said in str(search(*options).exception)


def test_the_oracle_needs_a_verifier_of_prefixes(search, tmp_path):
    """A task whose answers alone can be judged has no oracle."""
    judge = tmp_path / "judge.py"
    judge.write_text("def judge(**_):\n    return 1.0\n")
    done = search("--method", "revise", "--scorer", "oracle", "--reward-function", f"{judge}:judge")
    assert "judges no prefixes" in str(done.exception)


def test_what_guides_decides_the_answers(model, problems):
    """Another margin is another search; one that nothing guides is what it was before there was guidance."""
    plain = SearchJob(model=str(model), data=problems, method=Method.SAMPLE)
    assert "guidance" not in plain.described()
    assert plain.described()["rule"] == "mean-logprob"

    def guided(**guidance):
        asked = Guidance(scorer="oracle", **guidance)
        return SearchJob(model=str(model), data=problems, method=Method.REVISE, guidance=asked).described()

    assert guided() == guided()
    assert guided() != guided(omega=0.1)
