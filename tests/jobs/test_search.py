"""``halluc search`` on problems with a verifier: every method runs, and bad input is refused."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.data.resumable import named_function, named_model
from halluc_plugin.decoding.policy import Tabu
from halluc_plugin.edits import read_record
from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.jobs import search as job
from halluc_plugin.jobs.search import Method, SearchJob, space_of
from halluc_plugin.jobs.search_methods import GUIDED
from halluc_plugin.metrics import DecoderShape
from halluc_plugin.sampling.problems import read_problems, step_oracle
from halluc_plugin.scorers.likelihood import Says
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.search import Cost, Found, Response, Rule
from halluc_plugin.search.answers import judged
from halluc_plugin.tasks.countdown.files import CountdownRequest, write_countdown
from halluc_plugin.tokens import BACKTRACK_TOKEN, RESTART_TOKEN
from halluc_plugin.tokens.loading import load_tokenizer, save_tokenizer
from halluc_plugin.verifiers import FunctionVerifier, Outcome, load_score


@pytest.fixture(scope="module")
def tokenizer():
    """The number-level tokenizer, with an edit that refines."""
    return number_tokenizer(edit_tokens=(BACKTRACK_TOKEN, RESTART_TOKEN))


@pytest.fixture(scope="module")
def problems(tmp_path_factory):
    """Five held-out Countdown problems."""
    request = CountdownRequest(train=20, test=5)
    return write_countdown(tmp_path_factory.mktemp("data"), request, None, lambda i, w, t: i).test[0]


@pytest.fixture(scope="module")
def model(tmp_path_factory, tokenizer):
    """A model with random weights."""
    folder = tmp_path_factory.mktemp("model")
    new_model(tokenizer, Size.TINY, seed=0).save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return folder


@pytest.fixture
def search(model, problems):
    """Runs the command on them."""

    def run(*options, model=model):
        fixed = ["search", "--model", str(model), "--data", str(problems), "--max-tokens", "8", "-k", "2"]
        return CliRunner().invoke(app, [*fixed, *options])

    return run


@pytest.mark.parametrize("method", sorted(set(Method) - GUIDED - {Method.ERASE}))
def test_every_method_answers(search, method, tmp_path):
    """A table of shares and costs, and a line for each problem."""
    done = search("--method", method, "--limit", "3", "--out", str(tmp_path / "answers.jsonl"))
    assert done.exit_code == 0, done.exception
    rule = "majority" if method == "debate" else "mean-logprob"
    assert f"{method}, {rule}, 3 problems" in done.stdout
    answers = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert len(answers) == 3
    assert all(answer["tokens"] > 0 and answer["flops"] > 0 for answer in answers)
    assert [answer["row"] for answer in answers] == [0, 1, 2]
    assert answers[0]["search"]["method"] == method
    for answer in answers:
        told = answer["visited"]
        record = read_record(told["trace"])
        assert len(told["tokens"]) == len(record.ids) == len(told["log_probs"] or ())
        assert all(parent < at for at, parent in enumerate(record.parent))
        assert (answer["answer"] is None) is (not any(record.live))
        if method != "beam":  # which computes beams that it does not tell
            assert len(record.ids) + told["left_out"] == answer["tokens"] > 0


def test_greedy_samples_may_begin_differently(search, tmp_path):
    """At temperature 0 too, and the ends of steps are judged beside the answers."""
    asked = ("--method", "sample", "--tabu", "first", "--temperature", "0", "-k", "3", "--limit", "2")
    done = search(*asked, "--out", str(tmp_path / "answers.jsonl"))
    assert done.exit_code == 0, done.exception
    answers = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    for answer in answers:
        edits_dead, dead, edits_live, live = answer["step_ends"]
        assert 0 <= edits_dead <= dead
        assert 0 <= edits_live <= live


@pytest.mark.parametrize("says", list(Says))
def test_a_verifier_model_scores(search, model, says):
    """Any causal model of the same ids will do, whatever is read from it."""
    verifier = ("--rule", "verifier", "--verifier", str(model), "--verifier-says", says)
    done = search("--method", "sample", *verifier)
    assert done.exit_code == 0, done.exception
    assert "sample, verifier, 5 problems" in done.stdout


def test_votes_may_count_by_confidence(search):
    """Where edits can be sampled, each answer counts by the probability that it stands."""
    done = search("--method", "refine", "--rule", "confidence", "--rounds", "2")
    assert done.exit_code == 0, done.exception
    assert "refine, confidence, 5 problems" in done.stdout


@pytest.mark.parametrize("method", ["sample", "debate"])
def test_the_model_itself_may_choose(search, method, tmp_path):
    """Universal self-consistency; what it reads is paid for, and the request is kept."""
    asked = ("--method", method, "--request", "? ", "--out", str(tmp_path / "answers.jsonl"))
    assert search(*asked, "--rule", "universal").exit_code == 0
    costs = [json.loads(line)["flops"] for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    told = json.loads((tmp_path / "answers.jsonl").read_text().splitlines()[0])["search"]
    assert (told["rule"], told["request"]) == ("universal", "? ")
    if method == "debate":
        assert search(*asked).exit_code == 0
        plain = [json.loads(line)["flops"] for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
        assert sum(plain) < sum(costs)


def test_answers_that_outgrow_the_positions_are_refused(search):
    """Four copies of answers of 300 tokens do not fit in 1024 positions, before anything is sampled."""
    done = search("--method", "debate", "-k", "4", "--max-tokens", "300")
    assert "4 answers of up to 300 that are read behind it" in str(done.exception)


def test_a_verifier_of_other_ids_is_refused(search, tmp_path):
    """Its scores would mean nothing."""
    plain = number_tokenizer(edit_tokens=())
    new_model(plain, Size.TINY, seed=0).save_pretrained(tmp_path)
    save_tokenizer(plain, tmp_path)
    done = search("--method", "sample", "--rule", "verifier", "--verifier", str(tmp_path))
    assert "another tokenizer" in str(done.exception)


def test_trees_with_the_prefix_verifier(search):
    """Steps that it refutes are dropped."""
    assert search("--method", "breadth-first", "--oracle").exit_code == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--rule", "verifier"), "go together"),
        (("--verifier", "x"), "go together"),
        (("--verifier-says", "verdict"), "without --verifier"),
        (("--oracle",), "no meaning for --method backtrack"),
        (("--tabu", "first", "--method", "greedy"), "--tabu has no meaning for --method greedy"),
        (("--tabu", "last"), "tabu=last"),
        (("--method", "beam", "--backend", "vllm"), "--backend hf"),
        (("--method", "sample", "--rule", "confidence", "--ban-edits"), "is 0 with --ban-edits"),
        (("--method", "sample", "--rule", "confidence", "--backend", "vllm"), "neither vLLM"),
        (("--method", "beam", "--rule", "confidence"), "neither vLLM nor beam search"),
        (("--method", "refine", "--ban-edits"), "--ban-edits has no meaning for --method refine"),
        (("-k", "0"), "--samples is 0"),
        (("--method", "debate", "-k", "1"), "no other answer to read"),
        (("--method", "debate", "-b", "0"), "in no round answers would be read"),
        (("--method", "debate", "--request", ""), "--request is empty"),
        (("--method", "sample", "--request", "? "), "none are shown"),
        (("--rule", "universal"), "no meaning for --method backtrack"),
        (("--method", "sample", "-b", "2"), "--rounds has no meaning"),
        (("--budget", "3"), "--budget has no meaning"),
        (("--temperature", "0"), "would be the same"),
        (("--temperature", "-1"), "temperature"),
    ],
)
def test_bad_input(search, options, said):
    """One error that names the option."""
    assert said in str(search(*options).exception)


FUNCTION = """
def compute_score(data_source, solution_str, ground_truth, extra_info):
    assert data_source == "halluc/countdown" and "target" in ground_truth, ground_truth
    return {"score": -1.0, "acc": 1.0}

async def later(**_):
    return 1.0

def unknown(**_):
    raise NotImplementedError("never heard of it")
"""


def test_a_function_of_ones_own_judges(search, problems, tokenizer, tmp_path):
    """With verl's signature, by its place: its accuracy counts, not its reward; the log says who judged."""
    (tmp_path / "judge.py").write_text(FUNCTION)
    place = f"{tmp_path / 'judge.py'}:compute_score"
    for problem in read_problems(problems, tokenizer, reward_function=place):
        assert problem.verifier.verify(problem.truth, "anything") is Outcome.CORRECT
        assert problem.verifier.verify(problem.truth, "\n") is Outcome.NO_ANSWER
    done = search("--method", "greedy", "--reward-function", place, "--out", str(tmp_path / "answers.jsonl"))
    assert done.exit_code == 0, done.exception
    for line in (tmp_path / "answers.jsonl").read_text().splitlines():
        assert json.loads(line)["search"]["reward_function"] == place


def test_a_function_that_does_not_know_the_source_says_so(problems, tokenizer, tmp_path):
    """As verl's own does for sources that it cannot score."""
    (tmp_path / "judge.py").write_text(FUNCTION)
    place = f"{tmp_path / 'judge.py'}:unknown"
    problem = read_problems(problems, tokenizer, reward_function=place)[0]
    with pytest.raises(DataError, match=r"data source 'halluc/countdown' \(never heard of it\)"):
        problem.verifier.verify(problem.truth, "1")


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("later", "is not a plain function"),
        ("absent", "has no attribute 'absent'"),
        ("compute_score --rule majority", "votes on what answers come to"),
    ],
)
def test_a_function_that_cannot_judge_is_refused(search, tmp_path, function, said):
    """Named, with what is wrong with it."""
    (tmp_path / "judge.py").write_text(FUNCTION)
    name, *options = function.split()
    done = search("--method", "greedy", "--reward-function", f"{tmp_path / 'judge.py'}:{name}", *options)
    with pytest.raises(SettingsError, match=said):
        raise done.exception


@pytest.mark.parametrize("place", ["judge", "judge:", ":f", "absent.py:f", "no.such.module:f"])
def test_a_place_without_a_function_is_refused(search, place):
    """Before any model is loaded."""
    with pytest.raises(SettingsError, match=f"--reward-function {place} "):
        raise search("--reward-function", place).exception


def test_a_judge_that_was_edited_is_another_one(tmp_path):
    """So that an interrupted file is not continued by it; a file of dataclasses can be loaded."""
    path = tmp_path / "judge.py"
    text = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n\n@dataclass\nclass Right:\n"
    )
    path.write_text(text + "    worth: float = 1.0\n\ndef judge(**_):\n    return Right().worth\n")
    place = f"{path}:judge"
    assert FunctionVerifier(load_score(place), "any").verify("1", "1") is Outcome.CORRECT
    before = named_function(place)
    path.write_text("def judge(**_):\n    return 0\n")
    assert named_function(place) != before
    assert named_function("math:floor") == ["math", "floor"]
    assert named_function(None) is None


@pytest.mark.parametrize("method", ["backtrack", "sample", "beam"])
def test_what_was_answered_is_kept(search, tmp_path, monkeypatch, method):
    """Stopped while it samples, the same search goes on, and gives what it would have given."""
    made, stop_at = [], None

    def counted(problems, *rest, **more):
        made.append(len(problems))
        if len(made) == stop_at:
            raise KeyboardInterrupt
        return judged(problems, *rest, **more)

    monkeypatch.setattr(job, "judged", counted)
    monkeypatch.setattr("halluc_plugin.cli.search.problems_together", lambda *_: 2)
    whole, stopped = tmp_path / "whole.jsonl", tmp_path / "stopped.jsonl"
    assert search("--method", method, "--out", str(whole)).exit_code == 0
    assert made == [2, 2, 1]
    made.clear()
    stop_at = 2
    assert search("--method", method, "--out", str(stopped)).exit_code != 0
    assert not stopped.exists()
    made.clear()
    stop_at = None
    assert search("--method", method, "--out", str(stopped)).exit_code == 0
    assert made == [2, 1]
    assert stopped.read_text() == whole.read_text()
    assert {file.name for file in tmp_path.iterdir()} == {whole.name, stopped.name}
    made.clear()
    assert search("--method", method, "--out", str(stopped), "--seed", "1").exit_code == 0
    assert made == [2, 2, 1]


def test_a_model_that_was_trained_anew_is_another_one(tmp_path):
    """So that what another model answered is not continued by it; a name of a hub stands for itself."""
    (tmp_path / "model.safetensors").write_text("before")
    before = named_model(str(tmp_path))
    assert named_model(str(tmp_path)) == before
    (tmp_path / "model.safetensors").write_text("and after")
    assert named_model(str(tmp_path)) != before
    assert named_model("Qwen/Qwen2.5-0.5B") == ["Qwen/Qwen2.5-0.5B"]


def test_a_model_without_the_token(search, tmp_path):
    """Backtracking needs it, other methods do not."""
    plain = number_tokenizer(edit_tokens=())
    new_model(plain, Size.TINY, seed=0).save_pretrained(tmp_path)
    save_tokenizer(plain, tmp_path)
    assert "halluc add-token" in str(search(model=tmp_path).exception)
    assert search("--method", "sample", model=tmp_path).exit_code == 0


def test_answers_by_hand(problems, tokenizer):
    """A right answer found is an answer, wrong ones outvoted or not; costs are those of the search."""
    problem = read_problems(problems, tokenizer, 1)[0]
    from halluc_plugin.data.parquet import checked_rows
    from halluc_plugin.tasks import truth_fault

    reference = checked_rows(problems, truth_fault=truth_fault)[0]["extra_info"]["answer"]
    right = Response(tuple(tokenizer.encode(reference, add_special_tokens=False)), (-1.0,))
    wrong = Response(tuple(tokenizer.encode("1+1=2\n", add_special_tokens=False)), (-0.5,))
    shape = DecoderShape(hidden=1, kv=1, intermediate=1, layers=1)

    def answered(rule, *responses):
        return next(judged([problem], [Found(list(responses), Cost(7, 5, 3))], rule, tokenizer, shape=shape))

    likeliest = answered(Rule.MEAN_LOGPROB, right, wrong)
    assert (likeliest.correct, likeliest.reachable, likeliest.found, likeliest.tokens) == (False, True, 2, 7)
    voted = answered(Rule.MAJORITY, right, right, wrong)
    assert (voted.correct, voted.answer) == (True, tokenizer.decode(list(right.ids)))

    class Longest:
        """A scorer that costs 1000."""

        def score(self, prompt, responses):
            assert prompt == problem.prompt
            return [len(response.ids) for response in responses]

        def flops(self, prompt, responses):
            return 1000

    found = [Found([wrong, right], Cost(7, 5, 3))]
    scored = next(judged([problem], found, Rule.VERIFIER, tokenizer, shape=shape, scorer=Longest()))
    assert (scored.correct, scored.flops - likeliest.flops) == (True, 1000)
    nothing = answered(Rule.MAJORITY)
    assert (nothing.answer, nothing.correct, nothing.reachable) == (None, False, False)
    assert step_oracle(problem, tokenizer)(right.ids)
    assert not step_oracle(problem, tokenizer)(wrong.ids + wrong.ids)


def test_what_was_answered_before_there_was_tabu_is_kept(model, problems):
    """A search without it is the same one that it was; with it, another one."""
    plain = SearchJob(model=str(model), data=problems, method=Method.SAMPLE, n=2)
    assert "tabu" not in plain.described()
    assert "tabu" not in repr(space_of(plain, load_tokenizer(str(model))))
    assert replace(plain, tabu=Tabu.FIRST).described() != plain.described()
