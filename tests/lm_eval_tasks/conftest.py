"""Fixtures for the lm-eval tasks: tiny data, a byte-level tokenizer, and a runner of real pipelines."""

import json
import os
import sys
from functools import lru_cache
from pathlib import Path

import pytest

ROWS = [
    {"question": "How many are 40 and 2?", "answer": "40+2=<<40+2=42>>42\n#### 42"},
    {"question": "How much is $1,000 and $200?", "answer": "1000+200=<<1000+200=1200>>1,200\n#### 1,200"},
]


@pytest.fixture(scope="session", autouse=True)
def _templates_are_compiled_once():
    """lm_eval compiles its Jinja templates anew for every document, which would be most of the time here."""
    from lm_eval.utils import env

    patch = pytest.MonkeyPatch()
    patch.setattr(env, "from_string", lru_cache(env.from_string))
    yield
    patch.undo()


@pytest.fixture(scope="session")
def gsm8k_folder(tmp_path_factory):
    """A folder of data sets with a tiny gsm8k."""
    root = tmp_path_factory.mktemp("data")
    (root / "gsm8k").mkdir()
    text = "".join(json.dumps(row) + "\n" for row in ROWS)
    for name in ("train.jsonl", "test.jsonl"):
        (root / "gsm8k" / name).write_text(text)
    return root


@pytest.fixture(scope="session")
def real_data():
    """The folder of real data files, or a skip."""
    beside = Path(__file__).parents[3] / "shared" / "data"
    folder = Path(os.environ.get("HALLUC_TEST_DATA") or beside)
    if not (folder / "gsm8k" / "example_model_solutions.jsonl").is_file():
        pytest.skip("the real data files are absent (HALLUC_TEST_DATA)")
    return folder


ACME = """
from halluc_plugin.tasks import EvaluatedSplit, Evaluation, Task
from halluc_plugin.verifiers import Outcome

class Shouts:
    data_sources = ("acme/shout",)

    def verify(self, problem, answer):
        return Outcome.CORRECT if answer.strip() == problem["word"].upper() else Outcome.WRONG

class Patient(Shouts):
    def verify(self, problem, answer):
        return super().verify(problem, answer.upper())

splits = (
    EvaluatedSplit(name="shout_backtrack", split="test", what="words"),
    EvaluatedSplit(name="shout_backtrack_long", split="test_long", what="long words"),
)
evaluation = Evaluation(version="1.0", splits=splits, max_tokens=16, extract="[A-Z]+")
TASK = Task(name="shout", verifier=Shouts(), judges={"patient": Patient()}, eval=evaluation)
"""


PACKAGES = ("acme_", "broken_", "rival_")


@pytest.fixture
def install(tmp_path):
    """Writes installed packages with a task each, by default a working one; returns the folder of them."""

    def installed(package="acme", name="shout", code=ACME):
        site = tmp_path / "site"
        info = site / f"{package}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[halluc.tasks]\n{name} = {package}_{name}\n")
        (site / f"{package}_{name}.py").write_text(code)
        return site

    return installed


@pytest.fixture
def installed_here(install, monkeypatch):
    """The same, for the code under test in this process."""
    from halluc_plugin.tasks import registry

    monkeypatch.setattr("lm_eval_tasks.others._told", set())

    def installed(*package, **task):
        monkeypatch.syspath_prepend(install(*package, **task))
        registry.forget()

    yield installed
    monkeypatch.undo()
    for module in [name for name in sys.modules if name.startswith(PACKAGES)]:
        del sys.modules[module]
    registry.forget()


@pytest.fixture
def shouts(tmp_path):
    """A folder of data sets with the words of the task of another package."""
    row = {
        "data_source": "acme/shout",
        "prompt": [{"role": "user", "content": "hey\n"}],
        "reward_model": {"ground_truth": {"word": "hey"}},
        "extra_info": {"answer": "HEY"},
    }
    (tmp_path / "data" / "shout").mkdir(parents=True)
    for split in ("test", "test_long"):
        (tmp_path / "data" / "shout" / f"{split}.jsonl").write_text(json.dumps(row))
    return tmp_path / "data"


@pytest.fixture(scope="session")
def byte_tokenizer():
    """Builds a tokenizer with one token a byte, EOS and padding, and the given added tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    def build(*added):
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        backend = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=backend, eos_token="<|end|>", pad_token="<|pad|>"
        )
        tokenizer.add_tokens(list(added))
        return tokenizer

    return build


@pytest.fixture(scope="session")
def bytes_tokenizer(byte_tokenizer, tmp_path_factory):
    """Path of a saved byte tokenizer with the backtrack token as an ordinary one."""
    from tokenizers import AddedToken

    folder = tmp_path_factory.mktemp("tokenizer")
    byte_tokenizer(AddedToken("<|BACKTRACK|>", special=False, normalized=False)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def task_manager():
    """Builds a TaskManager of our folder alone, with metadata as lm_eval merges it."""
    from lm_eval.tasks import TaskManager

    folder = Path(__file__).parents[2] / "lm_eval_tasks"

    def build(**metadata):
        metadata = {key: str(v) if isinstance(v, Path) else v for key, v in metadata.items()}
        return TaskManager(include_path=str(folder), include_defaults=False, metadata=metadata)

    return build


@pytest.fixture(scope="session")
def load_task(task_manager):
    """Loads one of our tasks as lm_eval does."""
    return lambda name, **metadata: task_manager(**metadata).load(name)["tasks"][name]


@pytest.fixture(scope="session")
def run_pipelines():
    """Runs a task's own filters and scoring on answers: {pipeline: [rows of each document]}.

    An answer that is a list holds all samples of its document.
    """
    from lm_eval.api.instance import Instance

    def run(task, docs, answers):
        samples = [answer if isinstance(answer, list) else [answer] for answer in answers]
        task._instances = [
            Instance("generate_until", doc, ("", {}), 0, metadata=(task.task_name, at, 1), resps=resps)
            for at, (doc, resps) in enumerate(zip(docs, samples, strict=True))
        ]
        task.apply_filters()
        return {
            name: [task.process_results(i.doc, [i.filtered_resps[name]]) for i in task._instances]
            for name in task._instances[0].filtered_resps
        }

    return run


@pytest.fixture(scope="session")
def aggregate():
    """The numbers lm_eval reports for the rows of one pipeline."""

    def over(task, rows):
        how = task.aggregation()
        return {name: how[name]([row[name] for row in rows]) for name in rows[0]}

    return over


@pytest.fixture(scope="session")
def tiny_model(byte_tokenizer, tmp_path_factory):
    """Path of a random one-layer model of bytes that likes to backtrack, with its tokenizer."""
    import torch
    from tokenizers import AddedToken
    from transformers import Qwen2Config, Qwen2ForCausalLM

    tokenizer = byte_tokenizer(AddedToken("<|BACKTRACK|>", special=False, normalized=False))
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=64, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=512, tie_word_embeddings=False,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, initializer_range=1.0,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight[tokenizer.convert_tokens_to_ids("<|BACKTRACK|>")] *= 2
        model.lm_head.weight[tokenizer.pad_token_id] = 0
    folder = tmp_path_factory.mktemp("model")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
