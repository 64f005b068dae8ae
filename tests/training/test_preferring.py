"""Training on pairs: what counts, equality with imitation, learning, caching, and what is refused."""

import json
import math
import re
from dataclasses import replace

import pytest
import torch
from transformers import Trainer, TrainerCallback
from typer.testing import CliRunner

from halluc_plugin.cli import train_preference
from halluc_plugin.cli.app import app
from halluc_plugin.data.pair_files import PairRow, write_pairs
from halluc_plugin.data.parquet import read_rows
from halluc_plugin.edits import Context
from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.errors import DataError, SettingsError, TokenizerError
from halluc_plugin.losses.preference import Preference, PreferenceSettings
from halluc_plugin.losses.shares import LossShares
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN, vocab_of
from halluc_plugin.tokens.loading import load_model, save_tokenizer
from halluc_plugin.training import TrainSettings, preferring
from halluc_plugin.training.dataset import TraceCollator
from halluc_plugin.training.pairs import Example, PairCollator, hold_out, mismatch
from halluc_plugin.training.prefer_settings import PreferSettings, check_same_vocabulary
from halluc_plugin.training.preferring import prefer
from halluc_plugin.training.reference_sums import SumReader, counted_log_probs

B = BACKTRACK_TOKEN
TRAIN = TrainSettings(steps=24, batch_size=8, learning_rate=1e-3, warmup_steps=2, log_steps=4, bf16=False)


@pytest.fixture(scope="module")
def tokenizer():
    """Numbers and the backtrack token."""
    return number_tokenizer(edit_tokens=(B,))


def pair(tokenizer, prompt, chosen, rejected):
    """A pair from texts."""
    return PairRow(*map(tokenizer.encode, (prompt, chosen, rejected)))


@pytest.fixture
def pairs(tokenizer):
    """Contrastive traces of sixteen problems: the wrong number is taken back, or the right operand is."""
    return [
        pair(tokenizer, f"{n} 5 -> {n + 5}\n", f"{n}+5={n + 6}{B}{n + 5}\n", f"{n}+5={B}{n + 6}{n + 5}\n")
        for n in range(16)
    ]


@pytest.fixture
def pair_file(tokenizer, pairs, tmp_path):
    """These pairs as a file."""
    write_pairs(tmp_path / "pairs.parquet", pairs, tokenizer)
    return tmp_path / "pairs.parquet"


def settings_of(loss, **train):
    """A run of this loss."""
    return PreferSettings(PreferenceSettings(loss), replace(TRAIN, **train), held_out=0.25)


def trained(tokenizer, file, settings, out, *, reference="start"):
    """The result of a run from the tiny model, whose reference is that model unless another is given."""
    model = new_model(tokenizer, Size.TINY, seed=0)
    if reference == "start":
        reference = model if settings.loss.needs_reference else None
    return prefer(model, tokenizer, [file], settings, out, reference=reference, shown=False)


@pytest.mark.parametrize(
    ("erased", "counted"),
    [
        (ErasedTokens.MASK, [[0, 0, 1, 1, 0], [0, 0, 0, 0, 0], [0, 0, 1, 1, 1], [0, 1, 0, 0, 0]]),
        (ErasedTokens.KEEP, [[0, 0, 1, 1, 0], [1, 1, 0, 0, 0], [0, 0, 1, 1, 1], [1, 1, 1, 0, 0]]),
    ],
)
def test_what_counts_by_hand(tokenizer, erased, counted):
    """Imitated tokens behind the shared beginning count, though one side takes back a token of it."""
    vocab = vocab_of(tokenizer)
    b = vocab.backtrack
    rows = [PairRow([1], [2, 3, b, 4], [2, 3, 5, 6, 7]), PairRow([1, 2], [4, b], [5, b, 6])]
    batch = PairCollator(vocab, 0, erased)([Example(row) for row in rows])
    want = torch.tensor(counted).bool()
    if erased is ErasedTokens.MASK:  # the edit counts, what it takes back does not
        want[1, 1], want[3, 1], want[3, 2] = True, True, True
    assert batch["counted"].tolist() == want.tolist()
    assert batch["response_ids"].tolist()[1] == [4, b, 0, 0, 0]


@pytest.mark.parametrize("context", list(Context))
@pytest.mark.parametrize("erased", [ErasedTokens.MASK, ErasedTokens.KEEP])
def test_sums_are_those_of_imitation(tokenizer, pairs, context, erased):
    """The sum over a side is minus the imitation loss of its counted tokens, from the same labels."""
    model, vocab = new_model(tokenizer, Size.TINY, seed=0).eval(), vocab_of(tokenizer)
    collator = PairCollator(vocab, 0, erased)
    batch = collator([Example(row) for row in pairs])
    sums = counted_log_probs(model, batch, collator, context).sum(1)
    for row, side in zip(pairs, range(len(pairs)), strict=True):
        for at, trace in zip((side, side + len(pairs)), row.sides, strict=True):
            imitated = TraceCollator(vocab, 0, erased)([trace])
            imitated["labels"][:, : len(trace.prompt_ids) + row.shared] = -100
            if context is Context.SOFT:
                loss = model(**imitated).loss * (imitated["labels"] != -100).sum()
            else:  # each action from its collapsed prefix
                loss = -sum(
                    _from_collapsed(model, vocab, trace, t)
                    for t in range(len(trace.response_ids))
                    if imitated["labels"][0, len(trace.prompt_ids) + t] != -100
                )
            assert sums[at].item() == pytest.approx(-loss.item(), abs=2e-4)


def _from_collapsed(model, vocab, trace, t):
    """The log-prob of one action after its live text alone."""
    from halluc_plugin.edits import collapse

    seen = torch.tensor([trace.prompt_ids + collapse(trace.response_ids[:t], vocab)])
    return model(input_ids=seen).logits[0, -1].log_softmax(-1)[trace.response_ids[t]]


@pytest.mark.parametrize("context", list(Context))
def test_log_probs_of_the_shared_beginning_cancel(tokenizer, pairs, context):
    """Until the sides differ each action has one log-prob in both; the difference is that of what follows."""
    from halluc_plugin.edits import resolve
    from halluc_plugin.hard import score_actions

    model, vocab = new_model(tokenizer, Size.TINY, seed=0).eval(), vocab_of(tokenizer)
    collator = PairCollator(vocab, 0, ErasedTokens.KEEP)
    batch = collator([Example(row) for row in pairs])
    resolution = resolve(batch["response_ids"], batch["response_valid"], vocab)
    scores = score_actions(
        model, batch["prompt_ids"], batch["prompt_valid"], resolution, context=context, unknown_banned=False
    ).log_probs
    chosen, rejected = scores.split(len(pairs))
    for number, row in enumerate(pairs):
        assert row.shared >= 4
        torch.testing.assert_close(
            chosen[number, : row.shared], rejected[number, : row.shared], atol=1e-5, rtol=0
        )
    behind = counted_log_probs(model, batch, collator, context).sum(1).split(len(pairs))
    whole = chosen.sum(1) - rejected.sum(1)
    torch.testing.assert_close(behind[0] - behind[1], whole, atol=1e-4, rtol=0)


@pytest.mark.parametrize("loss", list(Preference))
@pytest.mark.parametrize("context", list(Context))
def test_a_tiny_model_learns_to_prefer(tokenizer, pair_file, tmp_path, loss, context):
    """On held-out problems the chosen side becomes the likelier one, and the saved model says so, too."""
    settings = settings_of(loss, context=context)
    if loss is Preference.KTO:  # whose gradient is that of a sigmoid, not of its logarithm
        settings = replace(settings, loss=PreferenceSettings(loss, beta=1.0))
    done = trained(tokenizer, pair_file, settings, tmp_path / "out")
    assert done.before.n == done.after.n == 4
    assert done.after.value == 1.0
    assert done.after.value > done.before.value or done.before.value == 1.0
    told = json.loads((tmp_path / "out" / "preferences.json").read_text())
    assert told["after"]["value"] == done.after.value
    assert told["chosen_log_prob_shift"] == pytest.approx(done.shift)
    assert (tmp_path / "out" / "reference.parquet").exists() is settings.loss.needs_reference
    loaded = load_model(str(tmp_path / "out"), dtype="float32").eval()
    collator = PairCollator(vocab_of(tokenizer), 0, ErasedTokens.MASK)
    rows = [pair(tokenizer, "20 5 -> 25\n", f"20+5=26{B}25\n", f"20+5={B}2625\n")]
    (sums,) = SumReader(collator, context, bf16=False, batch_size=1).sums(loaded, [Example(rows[0])])
    assert sums.chosen > sums.rejected


@pytest.mark.parametrize("case", [(Preference.DPO, math.log(2)), (Preference.IPO, 25.0)])
def test_the_first_loss_is_that_of_equal_models(tokenizer, pair_file, tmp_path, monkeypatch, case):
    """Before a step policy and reference agree: log 2 for DPO, 1 / 4τ² for IPO, an accuracy of one half."""
    (loss, first), logs = case, []

    class Logs(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **_):
            seen.append(logs)

    seen = logs
    made = preferring.PreferenceTrainer
    monkeypatch.setattr(preferring, "PreferenceTrainer", lambda **known: made(**known, callbacks=[Logs()]))
    trained(tokenizer, pair_file, settings_of(loss, steps=1, log_steps=1), tmp_path / "out")
    assert logs[0]["loss"] == pytest.approx(first, rel=1e-3)
    assert logs[0]["reward_margin"] == pytest.approx(0, abs=1e-4)
    assert logs[0]["log_prob_chosen"] < 0


def test_an_interrupted_run_goes_on(tokenizer, pair_file, tmp_path, monkeypatch):
    """Started again it reads the file of the reference and continues to the same weights."""
    settings, taken = settings_of(Preference.KTO, steps=4, save_steps=2), []
    trained(tokenizer, pair_file, settings, tmp_path / "whole")
    step = Trainer.training_step

    def until_the_power_cut(self, *args, **kwargs):
        taken.append(self.state.global_step)
        if len(taken) == 4:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    monkeypatch.setattr(Trainer, "training_step", until_the_power_cut)
    with pytest.raises(KeyboardInterrupt):
        trained(tokenizer, pair_file, settings, tmp_path / "cut")
    kept = (tmp_path / "cut" / "reference.parquet").stat().st_mtime_ns
    trained(tokenizer, pair_file, settings, tmp_path / "cut")
    assert taken == [0, 1, 2, 3, 2, 3]
    assert (tmp_path / "cut" / "reference.parquet").stat().st_mtime_ns == kept
    weights = [load_model(str(tmp_path / f)).get_input_embeddings().weight for f in ("whole", "cut")]
    torch.testing.assert_close(*weights)


def test_micro_batches_make_the_same_step(tokenizer, pair_file, tmp_path):
    """Gradients of parts of a batch add up to those of the whole one."""
    weights = []
    for name, micro in (("whole", None), ("parts", 2)):
        settings = settings_of(Preference.DPO, steps=3, micro_batch_size=micro)
        trained(tokenizer, pair_file, settings, tmp_path / name)
        weights.append(load_model(str(tmp_path / name)).get_input_embeddings().weight)
    torch.testing.assert_close(*weights, atol=2e-5, rtol=0)


@pytest.mark.parametrize("context", list(Context))
def test_low_rank_updates_learn_the_same(tokenizer, pair_file, tmp_path, context):
    """The reference is the model without updates; a plain model is saved that prefers the chosen side."""
    settings = PreferSettings(
        PreferenceSettings(), replace(TRAIN, learning_rate=1e-2, context=context), 0.25, low_rank=4
    )
    done = trained(tokenizer, pair_file, settings, tmp_path / "out")
    assert done.after.value == 1.0
    saved, plain = load_model(str(tmp_path / "out")), new_model(tokenizer, Size.TINY, seed=0)
    assert type(saved) is type(plain)


class TestReference:
    """The file of what the reference says."""

    def test_it_is_read_again_by_the_same_run(self, tokenizer, pair_file, tmp_path, monkeypatch):
        """A second start with the same reference and data computes nothing of the reference."""
        settings, asked = settings_of(Preference.KTO, steps=1), []
        trained(tokenizer, pair_file, settings, tmp_path / "out")
        kept = (tmp_path / "out" / "reference.parquet").read_bytes()
        read = SumReader.sums
        monkeypatch.setattr(
            SumReader, "sums", lambda *of, **how: asked.append(len(of[2])) or read(*of, **how)
        )
        trained(tokenizer, pair_file, settings, tmp_path / "out")
        assert asked == [4, 4]  # the held-out pairs, before and after
        assert (tmp_path / "out" / "reference.parquet").read_bytes() == kept

    @pytest.mark.parametrize("what", ["reference", "data"])
    def test_another_reference_or_other_data_are_seen(self, tokenizer, pairs, tmp_path, monkeypatch, what):
        """The file is written anew, but never under a run that has begun."""
        file, settings = tmp_path / "pairs.parquet", settings_of(Preference.DPO, steps=1)
        write_pairs(file, pairs, tokenizer)
        trained(tokenizer, file, settings, tmp_path / "out")
        before = (tmp_path / "out" / "reference.parquet").read_bytes()
        other = new_model(tokenizer, Size.TINY, seed=1) if what == "reference" else "start"
        if what == "data":
            write_pairs(file, [*pairs[1:], replace(pairs[0], rejected_ids=[1, 2])], tokenizer)
        monkeypatch.setattr(preferring, "last_checkpoint", lambda folder: "checkpoint-1")
        with pytest.raises(SettingsError, match=f"whose {what} were others"):
            trained(tokenizer, file, settings, tmp_path / "out", reference=other)
        monkeypatch.undo()
        trained(tokenizer, file, settings, tmp_path / "out", reference=other)
        assert (tmp_path / "out" / "reference.parquet").read_bytes() != before

    def test_a_loss_without_one_is_refused(self, tokenizer, pair_file, tmp_path):
        """The line names the option, and SimPO takes none."""
        with pytest.raises(SettingsError, match=r"dpo compares with a reference.*--reference MODEL"):
            trained(tokenizer, pair_file, settings_of(Preference.DPO), tmp_path / "out", reference=None)
        model = new_model(tokenizer, Size.TINY, seed=0)
        with pytest.raises(SettingsError, match="simpo has no reference"):
            trained(tokenizer, pair_file, settings_of(Preference.SIMPO), tmp_path / "out", reference=model)
        assert not (tmp_path / "out").exists()

    def test_one_with_another_vocabulary_is_refused(self, tokenizer):
        """The line names the first token that differs, and how to add it."""
        check_same_vocabulary(tokenizer, number_tokenizer(edit_tokens=(B,)), "same")
        with pytest.raises(TokenizerError, match=r"'plain' has another vocabulary.*BACKTRACK.*add-token"):
            check_same_vocabulary(tokenizer, number_tokenizer(), "plain")


def test_a_side_that_is_masked_out_is_refused(tokenizer, tmp_path):
    """A side whose own tokens are all taken back in words has nothing to compare; kept, it has."""
    rows = [
        PairRow([1], [2, 3], [2, 4], [False, False], [False, True]),
        PairRow([5], [2, 3], [2, 4], [False, False], [False, False]),
    ]
    write_pairs(tmp_path / "pairs.parquet", rows, tokenizer)
    settings = settings_of(Preference.DPO, steps=1)
    with pytest.raises(
        DataError, match=r"Pair 0: of the rejected side no token counts.*--erased-tokens keep"
    ):
        trained(tokenizer, tmp_path / "pairs.parquet", settings, tmp_path / "out")
    kept = settings_of(Preference.DPO, steps=1, erased_tokens=ErasedTokens.KEEP)
    assert trained(tokenizer, tmp_path / "pairs.parquet", kept, tmp_path / "out").loss > 0


def test_shares_of_the_loss_are_refused():
    """A sum of log-probs has no shares."""
    for train in (
        TrainSettings(shares=LossShares(decisions=0.3)),
        TrainSettings(shares=LossShares(erased=0.1), erased_tokens=ErasedTokens.WEIGHT),
    ):
        with pytest.raises(SettingsError, match="every token counts alike"):
            PreferSettings(train=train)
    with pytest.raises(SettingsError, match="held_out is 1"):
        PreferSettings(held_out=1)


def test_problems_are_held_out_whole(tokenizer):
    """No problem has pairs on both sides; one problem alone cannot be divided, and 0 holds out nothing."""
    rows = [PairRow([n % 5], [n + 10], [n + 40]) for n in range(20)]
    train, held = hold_out(rows, 0.4, seed=3)
    assert len(held) == 8
    assert {row.prompt_ids[0] for row in train}.isdisjoint(row.prompt_ids[0] for row in held)
    assert hold_out(rows, 0, seed=3) == (rows, [])
    with pytest.raises(DataError, match="--held-out 0"):
        hold_out(rows[::5], 0.1, seed=3)


def test_mismatched_responses_are_of_another_problem(tokenizer):
    """A pair's beginning stands before what another problem's pair has behind its own; columns follow."""
    rows = [
        PairRow([n], [50, n + 10, 9], [50, n + 20, 9], [False] * 3, [False, True, False]) for n in range(4)
    ]
    rows.append(PairRow([0], [7], [8], [False], [False]))
    examples = mismatch(rows, seed=0)
    assert [each.pair for each in examples] == rows
    for each in examples:
        begun = each.pair.shared
        ids = each.mismatched.response_ids
        (owner,) = {
            row.prompt_ids[0]
            for row in rows
            for side in row.sides
            if side.response_ids[row.shared :] == ids[begun:]
        }
        assert ids[:begun] == each.pair.chosen_ids[:begun]
        assert each.mismatched.prompt_ids == each.pair.prompt_ids != [owner]
        assert len(each.mismatched.erased) == len(ids)
    with pytest.raises(DataError, match="All pairs are of one problem"):
        mismatch([rows[0], rows[4]], seed=0)


class TestTokenRewards:
    """T-REG: the reference rewards tokens by two opposite prompts, and the rewards enter the loss."""

    @pytest.fixture
    def opposed(self, tokenizer, pairs):
        """The pairs with a 1 before the problem as the request for a better answer, a 2 for a worse one."""
        ahead = tokenizer.encode("1"), tokenizer.encode("2")
        return [
            replace(
                row, better_prompt_ids=ahead[0] + row.prompt_ids, worse_prompt_ids=ahead[1] + row.prompt_ids
            )
            for row in pairs
        ]

    def test_rewards_are_those_of_two_plain_passes(self, tokenizer, opposed):
        """σ(better - worse) - ½ of each counted token, from the model's own logits; 0 elsewhere."""
        model = new_model(tokenizer, Size.TINY, seed=0).eval()
        collator = PairCollator(vocab_of(tokenizer), 0, ErasedTokens.MASK)
        examples = [Example(row) for row in opposed[:3]]
        found = SumReader(collator, Context.SOFT, bf16=False, batch_size=2).rewards(model, examples)
        for each, of in zip(examples, found, strict=True):
            counted = collator([each])["counted"]
            for side, (trace, rewards) in enumerate(zip(each.pair.sides, of, strict=True)):
                better, worse = (
                    self._log_probs(model, prompt, trace.response_ids)
                    for prompt in (each.pair.better_prompt_ids, each.pair.worse_prompt_ids)
                )
                want = (torch.sigmoid(better - worse) - 0.5) * counted[side, : len(trace.response_ids)]
                torch.testing.assert_close(torch.tensor(rewards), want, atol=1e-5, rtol=0)
        assert any(value for of in found for side in of for value in side)

    def _log_probs(self, model, prompt, response):
        ids = torch.tensor([prompt + response])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1]
        return logits.log_softmax(-1).gather(1, torch.tensor(response)[:, None]).squeeze(1)

    def test_the_first_loss_has_the_regulariser(self, tokenizer, opposed, tmp_path):
        """Where policy and reference agree it is log 2 - α β / 2 Σ r̂ log π of both sides, over the pairs."""
        write_pairs(tmp_path / "pairs.parquet", opposed, tokenizer)
        settings = PreferSettings(
            PreferenceSettings(beta=0.5),
            replace(TRAIN, steps=1, batch_size=16),
            held_out=0,
            token_rewards=0.25,
        )
        done = trained(tokenizer, tmp_path / "pairs.parquet", settings, tmp_path / "out")
        model = new_model(tokenizer, Size.TINY, seed=0).eval()
        collator = PairCollator(vocab_of(tokenizer), 0, ErasedTokens.MASK)
        examples = [Example(row) for row in opposed]
        paid = SumReader(collator, Context.SOFT, bf16=False, batch_size=16).rewards(model, examples)
        examples = [replace(each, rewards=of) for each, of in zip(examples, paid, strict=True)]
        batch = collator(examples)
        with torch.no_grad():
            log_probs = counted_log_probs(model, batch, collator, Context.SOFT)
        good = (log_probs * batch["token_rewards"]).sum().item() / len(opposed)
        assert abs(good) > 1e-3
        assert done.loss == pytest.approx(math.log(2) - 0.25 * 0.5 * 0.5 * good, abs=1e-5)

    def test_a_start_with_rewards_does_not_read_a_file_without(self, tokenizer, opposed, tmp_path):
        """The digest of the data says whether tokens are rewarded."""
        write_pairs(tmp_path / "pairs.parquet", opposed, tokenizer)
        plain = settings_of(Preference.DPO, steps=1)
        trained(tokenizer, tmp_path / "pairs.parquet", plain, tmp_path / "out")
        trained(tokenizer, tmp_path / "pairs.parquet", replace(plain, token_rewards=0.1), tmp_path / "out")
        columns = read_rows(tmp_path / "out" / "reference.parquet", ("chosen", "chosen_rewards"))
        assert len(columns) == 12

    def test_what_cannot_be_rewarded_is_refused(self, tokenizer, pair_file, tmp_path):
        """Pairs without opposite prompts, another loss than DPO, and a weight that is not positive."""
        asked = replace(settings_of(Preference.DPO), token_rewards=0.25)
        with pytest.raises(DataError, match="no opposite prompts"):
            trained(tokenizer, pair_file, asked, tmp_path / "out")
        for loss, alpha in ((Preference.IPO, 0.25), (Preference.DPO, 0.0)):
            with pytest.raises(SettingsError, match="weight above 0"):
                PreferSettings(PreferenceSettings(loss), token_rewards=alpha)


class TestCommand:
    """`halluc train` on pairs."""

    @pytest.fixture
    def folder(self, tokenizer, tmp_path):
        """The tiny model in a folder."""
        new_model(tokenizer, Size.TINY, seed=0).save_pretrained(tmp_path / "model")
        save_tokenizer(tokenizer, tmp_path / "model")
        return tmp_path / "model"

    def run(self, *words):
        """The command's result."""
        return CliRunner().invoke(app, ["train", *map(str, words)])

    def test_it_trains_and_reports(self, folder, pair_file, tmp_path):
        """The model is saved, and the share of held-out pairs is printed before and after."""
        done = self.run(
            "--model", folder, "--data", pair_file, "--objective", "dpo", "--reference", folder, "--out",
            tmp_path / "out", "--steps", 12, "--batch-size", 8, "--learning-rate", 1e-3, "--held-out", 0.25,
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        assert "Held out: 4 pairs" in done.stdout
        assert re.search(r"1.000 \[0.510, 1.000\] after training", done.stdout)
        assert (tmp_path / "out" / "config.json").exists()

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (("--objective", "dpo"), "dpo compares with a reference model, and none is given"),
            (("--objective", "simpo", "--reference", "x"), "simpo has no reference model"),
            (("--objective", "kto", "--beta", "0"), "beta is 0.0. Fix: Give a number above 0"),
            (("--objective", "dpo", "--margin", "1"), "which only simpo has"),
            (("--objective", "ipo", "--patience", "2"), "--patience means nothing with --objective ipo"),
            (("--objective", "dpo", "--trunk", "own"), "--trunk means nothing with --objective dpo"),
            (("--objective", "dpo", "--decision-share", "0.3"), "every token counts alike"),
            (("--beta", "1"), "--beta means nothing without a preference loss"),
            (("--objective", "value", "--reference", "x"), "--reference means nothing without a preference"),
        ],
    )
    def test_what_means_nothing_is_refused(self, folder, pair_file, tmp_path, words, told):
        """One line that names the option, before anything is written."""
        done = self.run("--model", folder, "--data", pair_file, "--out", tmp_path / "out", *words)
        assert told in str(done.exception)
        assert not (tmp_path / "out").exists()

    def test_a_reference_with_another_vocabulary_is_refused(self, folder, pair_file, tmp_path):
        """Before a model is loaded: the other folder has none."""
        save_tokenizer(number_tokenizer(), tmp_path / "other")
        done = self.run(
            "--model", folder, "--data", pair_file, "--out", tmp_path / "out", "--objective", "dpo",
            "--reference", tmp_path / "other",
        )  # fmt: skip
        assert "has another vocabulary" in str(done.exception)

    def test_the_list_of_losses_is_that_of_the_code(self):
        """What the command line takes for a preference loss is one, and all are."""
        assert list(train_preference.PREFERENCES) == [str(loss) for loss in Preference]
