"""ProcessBench: the labelled steps are part of the answer, and what a model erases of them is judged."""

import json

import pytest
from lm_eval.api.instance import Instance

from halluc_plugin.errors import DataError, SettingsError, TokenizerError
from lm_eval_tasks.trace import TracedAnswer, TraceReader

B = "<|BACKTRACK|>"
ROWS = [
    {"problem": "1+1, twice?", "steps": ["1+1=2", "2+2=5", "So 5."], "label": 1, "id": "a"},
    {"problem": "½ + ½?", "steps": ["½+½=2"], "label": 0, "id": "b"},
    {"problem": "2+2?", "steps": ["2+2=4", "So 4."], "label": -1, "id": "c"},
]
GIVEN = [  # every state that a model is to react to, and whether its last step is wrong
    ("1+1=2\n\n2+2=5\n\n", True),
    ("1+1=2\n\n", False),
    ("½+½=2\n\n", True),
    ("2+2=4\n\nSo 4.\n\n", False),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The rows above as a local ProcessBench."""
    root = tmp_path_factory.mktemp("data")
    (root / "processbench").mkdir()
    (root / "processbench" / "gsm8k.json").write_text(json.dumps(ROWS), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def load(load_task, folder, bytes_tokenizer):
    """Builds the task for a model whose every byte is a token."""

    def build(**more):
        metadata = {"data_dir": folder, "pretrained": bytes_tokenizer, **more}
        return load_task("processbench_backtrack_gsm8k", **metadata)

    return build


def context(task, doc):
    """The prompt, as lm_eval makes it."""
    return task.fewshot_context(doc, 0, gen_prefix=task.doc_to_prefix(doc))


def run(task, *answers):
    """The logged traces and the rows of each document, whose prompts are those that lm_eval makes."""
    docs = list(task.test_docs())
    task._instances = [
        Instance("generate_until", doc, (context(task, doc), {}), 0, (None, at, 1), resps=[answer])
        for at, (doc, answer) in enumerate(zip(docs, answers, strict=True))
    ]
    task.apply_filters()
    traces = [instance.filtered_resps["trace"] for instance in task._instances]
    return traces, [task.process_results(doc, [trace]) for doc, trace in zip(docs, traces, strict=True)]


def test_documents_are_states(load):
    """A wrong step comes with what precedes it, and what precedes it alone; a right solution comes whole."""
    docs = list(load().test_docs())
    assert [(doc["given"], doc["label"] >= 0) for doc in docs] == GIVEN
    assert [len(doc["given"]) - doc["good_chars"] for doc in docs] == [7, 0, 7, 0]


def test_the_prompt_ends_with_the_steps(load):
    """Question first, then the beginning of the answer, with nothing between it and what the model writes."""
    task = load()
    doc = next(iter(task.test_docs()))
    assert context(task, doc) == "Question: 1+1, twice?\nAnswer:\n1+1=2\n\n2+2=5\n\n"


def test_rows_by_hand(load, aggregate):
    """The first wrong step is taken back exactly, of the second a byte is left; one right step is touched."""
    task = load()
    traces, rows = run(task, B * 7 + "2+2=4", "so", B * 8, f"x{B}{B}")
    assert [trace[0]["reaction"] for trace in traces] == ["exact", "kept", "under", "over"]
    numbers = aggregate(task, rows)
    assert numbers["exact_match"] == 0.5
    assert numbers["f1"] == pytest.approx(0.5)  # half of the wrong steps, half of the right ones
    assert (numbers["erased_after_wrong"], numbers["erased_after_right"]) == (1.0, 0.5)
    assert numbers["event_precision"] == pytest.approx(2 / 3)
    assert numbers["event_recall"] == 0.5
    assert (numbers["localisation_exact"], numbers["localisation_under"]) == (0.5, 0.5)
    # Both wrong steps are answered by an edit at once, no right one is: "x" comes first.
    assert (numbers["p_edit_dead"], numbers["p_edit_live"], numbers["d"]) == (1.0, 0.0, 1.0)
    assert numbers["raw_tokens"] == pytest.approx((12 + 2 + 8 + 3) / 4)


def test_ids_of_a_model_of_ours_are_taken_as_they_are(load, bytes_tokenizer):
    """An exact trace is not tokenised again."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(bytes_tokenizer)
    ids = tokenizer.encode(B * 7, add_special_tokens=False)
    answer = TracedAnswer("", TraceReader(tokenizer).read_ids(ids))
    traces, rows = run(load(), answer, "", "", "")
    assert (traces[0][0]["reaction"], traces[0][0]["record"]["ids"]) == ("exact", ids)
    assert rows[0]["exact_match"] == rows[0]["collapse_exact"] == 1


def test_a_template_that_drops_blanks_at_the_end(load):
    """The steps are found in what the model was given, which may lack the last blank lines."""
    task = load()
    doc = next(iter(task.test_docs()))
    steps = task._given(f"<user>{doc['problem']}<assistant>{doc['given'].rstrip()}", doc)
    assert (len(steps.ids), steps.num_good) == (len("1+1=2\n\n2+2=5"), 7)


def test_a_model_without_edit_tokens(load, byte_tokenizer, tmp_path, aggregate):
    """It keeps everything: right where no step is wrong."""
    byte_tokenizer().save_pretrained(tmp_path)
    task = load(pretrained=tmp_path)
    _, rows = run(task, "a", "b", "c", "d")
    assert aggregate(task, rows)["exact_match"] == 0.5
    assert aggregate(task, rows)["f1"] == 0


@pytest.mark.parametrize(("key", "value"), [("context", "hard"), ("boundary", "mask")])
def test_what_cannot_erase_a_prompt_is_refused(load, key, value):
    """Before anything is loaded."""
    with pytest.raises(SettingsError, match=f"{key}={value} cannot take back"):
        load(**{key: value})


def test_no_tokenizer(load):
    """Without ids nothing can be judged, whatever the answers."""
    task = load(pretrained=None)
    with pytest.raises(TokenizerError, match="without the model's tokenizer"):
        run(task, "", "", "", "")


def test_changed_steps_are_refused(load):
    """A chat template must hand the steps over as they are."""
    task = load()
    with pytest.raises(DataError, match="does not end with its labelled steps"):
        task._given("something else", next(iter(task.test_docs())))


@pytest.mark.parametrize("row", [{"label": 3}, {"label": -2}, {"steps": []}, {"steps": ["a", ""]}])
def test_impossible_rows(load, folder, tmp_path, row):
    """A label outside the steps, no step or an empty one."""
    (tmp_path / "gsm8k.json").write_text(json.dumps([ROWS[0] | row]), encoding="utf-8")
    with pytest.raises(DataError, match="A row of ProcessBench has label"):
        load(data_dir=tmp_path)


def test_a_file_that_is_no_array_of_rows(load, tmp_path):
    """Broken JSON and rows without the columns are named."""
    file = tmp_path / "gsm8k.json"
    for text, said in (
        ("[{", "is not a row of JSON"),
        ('[{"problem": "p"}]', "row 1 is not a row"),
        ("[]", "empty"),
    ):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=said):
            load(data_dir=tmp_path)


@pytest.mark.parametrize(("split", "expected"), [("gsm8k", (207, 363)), ("math", (594, 886))])
def test_the_real_files(load_task, real_data, bytes_tokenizer, split, expected):
    """As many wrong steps as ProcessBench counts; a right state for each but those that begin wrong."""
    task = load_task(f"processbench_backtrack_{split}", data_dir=real_data, pretrained=bytes_tokenizer)
    labels = [doc["label"] >= 0 for doc in task.test_docs()]
    assert (sum(labels), len(labels) - sum(labels)) == expected


def test_a_real_run(folder, tiny_model, task_manager):
    """The command's own path: a random model of ours, with every row reported."""
    import lm_eval

    manager = task_manager(data_dir=folder, pretrained=tiny_model)
    done = lm_eval.simple_evaluate(
        model="hf-backtrack",
        model_args={"pretrained": str(tiny_model)},
        tasks=["processbench_backtrack_gsm8k"],
        task_manager=manager,
        device="cpu",
        batch_size=4,
        bootstrap_iters=0,
        gen_kwargs={"max_gen_toks": 32},
    )
    rows = done["results"]["processbench_backtrack_gsm8k"]
    samples = done["samples"]["processbench_backtrack_gsm8k"]
    assert len(samples) == 4
    assert rows["collapse_exact,trace"] == 1
    assert rows["exact_match,trace"] == sum(row["exact_match"] for row in samples) / 4
    assert json.loads(str(samples[0]["filtered_resps"][0]))["reaction"] in {"kept", "under", "exact", "over"}
