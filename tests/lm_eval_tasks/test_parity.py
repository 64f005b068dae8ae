"""Tasks of ours beside their stock twins: on answers without backtracks the numbers are the same, one by one.

`docs/evaluation.md` has the table of what is compared here.
"""

import importlib.metadata
import json
from pathlib import Path

import datasets
import lm_eval.tasks
import pytest
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.utils import postprocess_generated_text
from lm_eval.tasks._yaml_loader import load_yaml

STOCK = Path(lm_eval.tasks.__file__).parent
GSM8K_DOC = {"question": "q", "answer": "40+2=42\n#### 42"}
MATH_DOC = {"problem": "p", "solution": r"So it is $\boxed{\frac{1}{2}}$.", "answer": r"\frac{1}{2}"}

# Our task, the stock one's file, a document, what gsm8k writes before an answer, and answers to the document
# with what the stock task makes of them: strict, and flexible where it has that.
TWINS = {
    "gsm8k_backtrack": (
        "gsm8k/gsm8k.yaml",
        GSM8K_DOC,
        [
            ("40+2=42\n#### 42", 1, 1),
            ("#### $42.", 0, 1),  # strict wants a number right after the marker
            ("#### 42.", 1, 1),  # one full stop is ignored
            ("The answer is 42", 0, 1),
            ("#### 41", 0, 0),
            ("#### 41\n#### 42", 0, 1),  # strict takes the first, flexible the last
            ("#### 42\n\nQuestion: What is 1+1?\nAnswer: #### 2", 1, 1),  # the stop string ends the answer
            ("#### 42</s> 43", 1, 1),
            ("#### 42<|im_end|> 43", 1, 1),
            ("Question: #### 42", 0, 0),
            ("no number", 0, 0),
            ("", 0, 0),
        ],
    ),
    "gsm8k_backtrack_cot": (
        "gsm8k/gsm8k-cot.yaml",
        GSM8K_DOC,
        [
            ("40 + 2 = 42. The answer is 42.", 1, 1),
            ("The answer is 42", 0, 1),  # strict wants something after it: it takes the 4
            ("The answer is $42.", 0, 1),
            ("The answer is 41. The answer is 42.", 0, 1),
            ("The answer is 42.\n\nQ: What is 1+1?\nA: The answer is 2.", 1, 1),
            ("Q: The answer is 42.", 0, 0),
            ("The answer is 42.</s> 43", 1, 1),
            ("#### 42", 0, 1),
            ("", 0, 0),
        ],
    ),
    "math500_backtrack": ("hendrycks_math/hendrycks_math500.yaml", MATH_DOC, MATH_CASES := [
        (r"It is $\frac{1}{2}$.", 1, None),
        (r"\dfrac12", 1, None),
        ("1/2", 1, None),
        (r"\boxed{\frac{1}{2}}", 0, None),  # the stock task does not look into boxes
        (r"$x=1$ and so $\frac12$", 0, None),  # it takes all between the first and the last dollar
        ("0.5", 1, None),
        ("2", 0, None),
        ("1/2\n\nProblem: What is 1+1?\nAnswer: $2$", 1, None),
        ("", 0, None),
    ]),
    "hendrycks_math_backtrack_algebra": ("hendrycks_math/hendrycks_math_algebra.yaml", MATH_DOC, MATH_CASES),
}  # fmt: skip


@pytest.fixture(scope="module")
def stock():
    """Loads lm_eval's own tasks, their data replaced by one document."""

    def load(name):
        file, doc, _ = TWINS[name]
        config = load_yaml(STOCK / file)
        config.pop("tag", None)
        data = {split: datasets.Dataset.from_list([doc]) for split in ("train", "test")}
        return ConfigurableTask(config={**config, "custom_dataset": lambda **_: datasets.DatasetDict(data)})

    return load


@pytest.fixture(scope="module")
def ours(load_task, tmp_path_factory):
    """Loads our tasks, without a tokenizer."""

    def load(name):
        doc = TWINS[name][1]
        folder = tmp_path_factory.mktemp("data")
        for split in ("train", "test"):
            (folder / f"{split}.jsonl").write_text(json.dumps(doc) + "\n")
        return load_task(name, data_dir=folder)

    return load


def generated(task, text):
    """What a stock engine hands over of ``text`` under the task's own stop strings."""
    return postprocess_generated_text(text, task.config.generation_kwargs["until"], None)


def compare(run_pipelines, stock, ours, docs, texts):
    """Assert that stock and ours agree on every document; returns the stock scores by pipeline."""
    rows = run_pipelines(stock, docs, [generated(stock, text) for text in texts])
    expected = {name: [row["exact_match"] for row in of_docs] for name, of_docs in rows.items()}
    got = run_pipelines(ours, docs, [generated(ours, text) for text in texts])
    for pipeline, scores in expected.items():
        name = "strict-match" if pipeline == "none" else pipeline  # a stock task without filters
        assert [row["exact_match"] for row in got[name]] == scores
        assert [row["exact_match"] for row in got[f"{name}-raw"]] == scores
    return expected


@pytest.mark.parametrize("name", TWINS)
def test_fixed_answers_score_as_in_the_stock_task(run_pipelines, stock, ours, name):
    """On answers without backtracks both tasks give the numbers known by hand, document by document."""
    _, doc, cases = TWINS[name]
    scores = compare(run_pipelines, stock(name), ours(name), [doc] * len(cases), [text for text, *_ in cases])
    strict, *flexible = scores.values()
    assert strict == [expected for _, expected, _ in cases]
    assert flexible == ([[expected for *_, expected in cases]] if name.startswith("gsm8k") else [])


@pytest.mark.parametrize("name", TWINS)
def test_prompts_are_the_stock_prompts(stock, ours, name):
    """Question, few-shot examples, target and metric are the stock task's."""
    doc = TWINS[name][1]
    theirs, mine = stock(name), ours(name)
    shots = min(theirs.config.num_fewshot or 0, 1) if name == "gsm8k_backtrack" else theirs.config.num_fewshot
    for task in (theirs, mine):
        task.sampler.set_rnd(0) if hasattr(task, "sampler") else None
    asked = {**doc, "question": "How many?", "problem": "How many?"}
    assert mine.fewshot_context(asked, shots or 0) == theirs.fewshot_context(asked, shots or 0)
    assert mine.doc_to_target(doc) == theirs.doc_to_target(doc)
    for key in ("target_delimiter", "fewshot_delimiter", "metric_list", "description"):
        assert getattr(mine.config, key) == getattr(theirs.config, key)
    assert (mine.config.num_fewshot or 0) == (theirs.config.num_fewshot or 0)


@pytest.mark.data
def test_real_answers_to_gsm8k(run_pipelines, stock, ours, real_data):
    """On 4 x 1319 answers of real models, as they are and with a marker, each pair of tasks agrees."""
    folder = real_data / "gsm8k"
    docs = [json.loads(line) for line in (folder / "test.jsonl").read_text().splitlines()]
    lines = (folder / "example_model_solutions.jsonl").read_text().splitlines()
    solutions = [json.loads(line) for line in lines]
    models = [key for key in solutions[0] if key not in {"question", "ground_truth"}]
    assert (len(docs), len(models)) == (1319, 4)
    texts = [row[model]["solution"] for model in models for row in solutions]
    judged = [row[model]["is_correct"] for model in models for row in solutions]
    for name, marker in (("gsm8k_backtrack", "\n#### "), ("gsm8k_backtrack_cot", "\nThe answer is ")):
        marked = [text.replace("\nA: ", marker) + ("." if "is" in marker else "") for text in texts]
        scores = compare(run_pipelines, stock(name), ours(name), docs * 8, texts + marked)
        strict = scores["strict-match"][len(texts) :]
        # The files carry their own verdict; strict match on the marked text is nearly the same judge.
        assert abs(sum(strict) - sum(judged)) <= 60


def variants(rows):
    """Answers to MATH problems: solution, answer in and out of dollars, another's solution."""
    others = [*rows[1:], rows[0]]
    return [
        text
        for row, other in zip(rows, others, strict=True)
        for text in (row["solution"], f"It is ${row['answer']}$.", row["answer"], other["solution"])
    ]


@pytest.fixture(scope="module")
def math_rows(real_data):
    """Every fifth problem of MATH-500."""
    lines = (real_data / "math500" / "test.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines][::5]


@pytest.mark.data
@pytest.mark.parametrize("name", ["math500_backtrack", "hendrycks_math_backtrack_algebra"])
def test_real_answers_to_math(run_pipelines, stock, ours, math_rows, name):
    """On 400 answers made of MATH-500's own solutions the comparison of strings is the stock task's."""
    docs = [row for row in math_rows for _ in range(4)]
    scores = compare(run_pipelines, stock(name), ours(name), docs, variants(math_rows))["none"]
    assert sum(scores[2::4]) == 100  # the bare answers are all right
    assert sum(scores[3::4]) == 0


@pytest.mark.data
def test_math_verify_judges_as_in_minerva_math(run_pipelines, ours, math_rows, monkeypatch):
    """On the same 400 answers the verdict of math-verify is that of lm_eval's minerva_math."""
    # That task insists on a version of antlr that verl's omegaconf rules out, for another metric of its own.
    version = importlib.metadata.version
    patched = lambda name: "4.11.0" if name.startswith("antlr4") else version(name)  # noqa: E731
    monkeypatch.setattr(importlib.metadata, "version", patched)
    minerva = load_yaml(STOCK / "minerva_math" / "minerva_math500.yaml")["process_results"]
    monkeypatch.setitem(minerva.__globals__, "is_equiv", lambda *_: False)
    docs, texts = [row for row in math_rows for _ in range(4)], variants(math_rows)
    expected = [minerva(doc, [text])["math_verify"] for doc, text in zip(docs, texts, strict=True)]
    got = run_pipelines(ours("math500_backtrack"), docs, texts)
    assert [row["exact_match"] for row in got["math-verify"]] == expected
    assert sum(expected) > 280
