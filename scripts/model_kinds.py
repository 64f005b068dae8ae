"""Run halluc's commands on tiny random models of the kinds that people start from, and keep what came of it.

    python scripts/model_kinds.py          # all kinds, a few minutes on two cores
    python scripts/model_kinds.py gpt2     # one kind; the others' results are kept

The models are made from their transformers configs, with a tokenizer of the kind that such models have;
nothing is downloaded. ``make docs`` writes the table of docs/compatibility.md from scripts/model_kinds.json.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_suffix(".json")
SIZE = 512
"""Tokens of a tokenizer, and rows of a model."""
NUMBERS = {"num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 256}
SMALL = {"hidden_size": 32, "intermediate_size": 32, **NUMBERS}
GROUPED = {**SMALL, "num_key_value_heads": 1}
TEMPLATE = (
    "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>{% endif %}"
)
JUDGE = '''
def judge(data_source, solution_str, ground_truth, extra_info=None):
    """Find every second answer right."""
    return float(len(solution_str) % 2)
'''
WORKS = "works"


def configs() -> dict[str, tuple[str, Any]]:
    """Return the kind of tokenizer and the config of each kind of model."""
    from transformers import (
        Gemma2Config,
        GemmaConfig,
        GPT2Config,
        GPTNeoXConfig,
        LlamaConfig,
        MistralConfig,
        PhiConfig,
        Qwen2Config,
        Qwen3Config,
        SmolLM3Config,
    )

    ends = {"vocab_size": SIZE, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    return {
        "Llama, tied": ("bytes", LlamaConfig(**ends, **GROUPED, tie_word_embeddings=True)),
        "Llama, untied": ("pieces", LlamaConfig(**ends, **SMALL, tie_word_embeddings=False)),
        "Qwen2": ("bytes", Qwen2Config(**ends, **GROUPED, tie_word_embeddings=True)),
        "Qwen3": ("bytes", Qwen3Config(**ends, **GROUPED, head_dim=16, tie_word_embeddings=True)),
        "Gemma": ("pieces", GemmaConfig(**ends, **GROUPED, head_dim=16)),
        "Gemma 2": ("pieces", Gemma2Config(**ends, **GROUPED, head_dim=16)),
        "Phi": ("bytes", PhiConfig(**ends, **SMALL)),
        "GPT-2": ("bytes", GPT2Config(**ends, n_embd=32, n_layer=2, n_head=2, n_positions=256)),
        "GPT-NeoX": ("bytes", GPTNeoXConfig(**ends, **SMALL)),
        "Mistral": ("pieces", MistralConfig(**ends, **GROUPED, sliding_window=None)),
        "Mistral, with a window": ("pieces", MistralConfig(**ends, **GROUPED, sliding_window=4096)),
        "SmolLM3": ("bytes", SmolLM3Config(**ends, **GROUPED, tie_word_embeddings=True)),
    }


def make_tokenizer(kind: str) -> Any:
    """Make a tokenizer: byte-level as of GPT-2 (``bytes``), or with a sign for the space (``pieces``)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words, merges = ["<s>", "</s>", "<unk>"], [("c", "a"), ("ca", "t"), ("1", "2")]
    if kind == "bytes":
        words += sorted(pre_tokenizers.ByteLevel.alphabet())
        cut, join = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    else:
        letters = [chr(code) for code in range(33, 127)]
        words += [*(f"<0x{byte:02X}>" for byte in range(256)), "▁", *letters]
        cut = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
        join = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
    words += ["".join(pair) for pair in merges]
    words += [f"filler{number}" for number in range(SIZE - len(words))]
    vocab = {word: number for number, word in enumerate(words)}
    backend = Tokenizer(
        models.BPE(vocab=vocab, merges=merges, byte_fallback=kind == "pieces", unk_token="<unk>")  # noqa: S106
    )
    backend.pre_tokenizer, backend.decoder = cut, join
    backend.add_special_tokens(words[:3])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="</s>",  # noqa: S106
        unk_token="<unk>", chat_template=TEMPLATE, clean_up_tokenization_spaces=False,  # noqa: S106
    )  # fmt: skip


def make_model(name: str, folder: Path) -> None:
    """Write a random model of a kind and its tokenizer into a folder, as its publisher would."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    kind, config = configs()[name]
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    make_tokenizer(kind).save_pretrained(folder)
    AutoTokenizer.from_pretrained(folder).save_pretrained(folder)  # by the class that the kind is loaded as


def write_problems(work: Path) -> None:
    """Write problems, a judge of answers, and references."""
    from halluc_plugin.data.parquet import write_parquet

    (work / "judge.py").write_text(JUDGE)
    rows = [
        {
            "data_source": "letters", "prompt": [{"role": "user", "content": f"a cat {number}"}],
            "reward_model": {"style": "rule", "ground_truth": "x"}, "extra_info": {"answer": "cat\ncat 12\n"},
        }
        for number in range(4)
    ]  # fmt: skip
    write_parquet(work / "rows.parquet", rows, {})


def add_token(work: Path) -> None:
    """Add the tokens; what the model says of old tokens must stay."""
    import torch

    from halluc_plugin.tokens.loading import load_model, load_tokenizer

    halluc("add-token", "--model", work / "base", "--out", work / "model", "--step")
    ids = torch.tensor([load_tokenizer(str(work / "base")).encode("a cat\n漢 12")])
    if load_tokenizer(str(work / "model")).encode("a cat\n漢 12") != ids[0].tolist():
        raise AssertionError("other ids")
    with torch.no_grad():
        old, new = (load_model(str(work / each)).eval()(ids).logits[..., :SIZE] for each in ("base", "model"))
    torch.testing.assert_close(new, old, rtol=1e-4, atol=1e-4)


def doctor(work: Path) -> None:
    """Look at the model; what the command says of the hosts is not asked here."""
    from halluc_plugin.doctor.model import checks

    red = [check for check in checks(str(work / "model")) if check.status == "fail"]
    if red:
        raise AssertionError(red)


def correct(work: Path) -> None:
    """Sample answers, and take wrong ones back."""
    halluc(
        "data", "correct", "--data", work / "rows.parquet", "--model", work / "model", "--out", work / "own",
        "--reward-function", f"{work / 'judge.py'}:judge", "--max-tokens", "64", "--samples", "16",
        "--temperature", "4", "--context", "hard",
    )  # fmt: skip


def inject(work: Path) -> None:
    """Write traces in the model's ids."""
    halluc(
        "data", "inject", "--data", work / "rows.parquet", "--tokenizer", work / "model",
        "--out", work / "traces.parquet",
    )  # fmt: skip


def train(*options: str) -> Callable[[Path], None]:
    """Return a check that trains for two steps with these options."""

    def run(work: Path) -> None:
        name = "-".join(["trained", *options]).replace("--", "")
        halluc(
            "train", "--model", work / "model", "--data", work / "traces.parquet", "--out", work / name,
            "--steps", "2", "--batch-size", "2", *options,
        )  # fmt: skip

    return run


def search(work: Path) -> None:
    """Search with edits banned and without."""
    halluc(
        "search", "--model", work / "model", "--data", work / "rows.parquet", "--method", "sample",
        "--samples", "2", "--max-tokens", "16", "--reward-function", f"{work / 'judge.py'}:judge",
    )  # fmt: skip


def lm_eval(context: str) -> Callable[[Path], None]:
    """Return a check that lets lm-eval's model answer, and holds a log-likelihood to plain transformers."""

    def run(work: Path) -> None:
        from lm_eval.api.instance import Instance

        from lm_eval_tasks.hf_backtrack import HFBacktrack

        model = HFBacktrack(str(work / "model"), context=context, device="cpu", batch_size=2)
        options = {"until": [], "max_gen_toks": 16, "do_sample": True}
        asked = [Instance("generate_until", {}, (text, options), 0) for text in ("a cat", "12")]
        model.generate_until(asked, disable_tqdm=True)
        pair = ("a cat", " 12")
        ((told, _),) = model.loglikelihood([Instance("loglikelihood", {}, pair, 0)], disable_tqdm=True)
        expected = log_likelihood(work / "model", *model._encode_pair(*pair))  # noqa: SLF001 - lm-eval's own ids
        if abs(told - expected) > 1e-3:
            raise AssertionError(f"the log-likelihood is {told:.4f}, by transformers {expected:.4f}")

    return run


def log_likelihood(folder: Path, prompt: list[int], answer: list[int]) -> float:
    """Return the log-likelihood of an answer in nats by plain transformers, over ids that are tokens."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    known = len(AutoTokenizer.from_pretrained(folder))
    with torch.no_grad():
        logits = AutoModelForCausalLM.from_pretrained(folder)(torch.tensor([prompt + answer])).logits[0]
    log_p = logits[len(prompt) - 1 : -1, :known].float().log_softmax(-1)
    return float(log_p[range(len(answer)), answer].sum())


CHECKS: dict[str, Callable[[Path], None]] = {
    "`add-token`": add_token,
    "`doctor --model`": doctor,
    "`data inject`": inject,
    "`data correct`": correct,
    "`train`": train(),
    "`train --context hard`": train("--context", "hard"),
    "`train --low-rank`": train("--low-rank", "2"),
    "`search`": search,
    "`hf-backtrack`, soft": lm_eval("soft"),
    "hard": lm_eval("hard"),
}


def halluc(*arguments: Any) -> None:
    """Run a command in this process.

    Raises:
        HallucError: It refuses.
    """
    from typer.testing import CliRunner

    from halluc_plugin.cli.app import app

    done = CliRunner().invoke(app, list(map(str, arguments)))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    if done.exit_code:
        raise AssertionError(done.output)


def results_of(name: str) -> dict[str, str]:
    """Return what came of each check on a kind of model: :data:`WORKS`, or why it was refused."""
    from halluc_plugin.errors import HallucError, in_one_line

    found = {}
    with tempfile.TemporaryDirectory(prefix="kind-") as folder:
        work = Path(folder)
        make_model(name, work / "base")
        write_problems(work)
        for check, run in CHECKS.items():
            try:
                run(work)
                found[check] = WORKS
            except HallucError as error:
                found[check] = f"refused: {error.cause.replace(folder + '/', '')}"
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the result
                found[check] = f"fails: {in_one_line(error)[:200]}"
    return found


def main(names: list[str]) -> None:
    """Run the kinds and write the file."""
    known = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    for name in names or configs():
        known[name] = results_of(name)
        print(name, known[name], flush=True)
    ordered = {name: known[name] for name in configs() if name in known}
    FILE.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
