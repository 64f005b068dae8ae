"""The reward manager ``backtrack`` for verl: it resolves ids, then scores the text that is left."""

import asyncio
import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from omegaconf import DictConfig
from verl import DataProto
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase
from verl.experimental.reward_loop.reward_manager.registry import register

from halluc_plugin.data.rows import extra_info, ground_truth
from halluc_plugin.edits import EditVocab, resolve
from halluc_plugin.errors import DataError
from halluc_plugin.rewards import Answer, Trace, Verdict, judge_answer, observe, score
from halluc_plugin.rewards.turns import second_attempt
from halluc_plugin.rl.answers import reward_info
from halluc_plugin.rl.rollout_reader import step_marks
from halluc_plugin.rl.scored_states import AskedAnswer, BatchedStates, state_scorer
from halluc_plugin.settings import Settings, ValueSource
from halluc_plugin.tasks import find_verifier
from halluc_plugin.tokens import edit_vocab, vocab_of
from halluc_plugin.traces.turns import changed_share
from halluc_plugin.verifiers import Outcome, Verifier, read_score, scoring, scoring_failed
from verl_ext.columns import CONTINUATIONS, STATISTICS, TURNS
from verl_ext.engine_limits import EngineLimits
from verl_ext.preflight.judges import unknown_source
from verl_ext.run_settings import from_config, has_reward_function


@register("backtrack")
class BacktrackRewardManager(RewardManagerBase):
    """Scores the resolved answers of runs with and without backtracking.

    The scorer of a row is, in this order: the run's ``reward.custom_reward_function``; the verifier of the
    row's ``data_source``; verl's own scoring function for sources it knows.

    Raises:
        SettingsError: The ``halluc:`` block is wrong.
        TokenizerError: The tokenizer's edit tokens are not usable, or missing from a backtracking run.
    """

    def __init__(
        self,
        config: DictConfig,
        tokenizer: Any,
        compute_score: Any,
        reward_router_address: str | None = None,
        reward_model_tokenizer: Any = None,
    ) -> None:
        super().__init__(config, tokenizer, compute_score)
        self._settings = from_config(config)
        self._vocab = _vocab(config, tokenizer, self._settings)
        self._limits = EngineLimits.of(config, tokenizer)
        self._marks = step_marks(tokenizer, self._settings, self._vocab, self._limits.ends)
        trust = bool(config.actor_rollout_ref.model.get("trust_remote_code", False))
        states = state_scorer(self._settings, tokenizer, self._vocab, self._marks, trust_remote_code=trust)
        self._states = None if states is None else BatchedStates(states)
        self._custom = has_reward_function(config)
        self._router = {}
        if reward_router_address is not None:
            self._router = {
                "reward_router_address": reward_router_address,
                "reward_model_tokenizer": reward_model_tokenizer,
            }

    async def run_single(self, data: DataProto) -> dict[str, Any]:
        """Score one trajectory.

        Args:
            data: The rows of the trajectory; the last one is the answer.

        Returns:
            ``reward_score``, and ``reward_extra_info``: :func:`halluc_plugin.rl.answers.reward_info`.

        Raises:
            DataError: Nothing can score the row's data source, its scorer raised an error, or continuations
                are asked for and missing.
        """
        ids = data.batch["responses"][-1:]
        valid = data.batch["attention_mask"][-1:, -ids.shape[1] :].bool()
        row = {key: values[-1] for key, values in data.non_tensor_batch.items()}
        turns = (row.get("tool_extra_fields") or {}).get(TURNS)
        first, begins = turns or (0, 0)
        resolution = resolve(ids[:, begins:], valid[:, begins:], self._vocab)
        verifier = None if self._custom else find_verifier(row["data_source"])
        trace = observe(resolution, 0, self._decode, self._marks)
        said = None
        if self._states is not None:
            said = await self._states.rate(AskedAnswer(_prompt(data), trace.states, resolution, 0))
        answer = await self._judge(trace, row, verifier, None if said is None else said.values)
        if turns:
            before = await self._verdict(self._decode(ids[0, :first].tolist()), row, verifier)
            answer = second_attempt(answer, before, first)
        settings = (
            self._settings.at(int(row["global_steps"])) if self._settings.curriculum else self._settings
        )
        reward, parts = score(answer, settings.reward)
        info = reward_info(
            answer,
            parts,
            finished=not self._cut_off(data, row),
            # The same keys for every answer of a run: with ``auto`` some have no such value.
            without_edits=self._settings.values.source is ValueSource.CONTINUATIONS or bool(turns),
        )
        if said is not None:
            info |= said.info(answer.final.accuracy)
        if turns:
            again = ids[0, begins:][valid[0, begins:]].tolist()
            info["turn_change"] = changed_share(ids[0, :first].tolist(), again)
        return {"reward_score": reward, "reward_extra_info": info}

    def _cut_off(self, data: DataProto, row: Mapping[str, Any]) -> bool:
        """What the agent loop knows of it; for verl's own loops, by the limits of the engine."""
        known = ((row.get("tool_extra_fields") or {}).get(STATISTICS) or {}).get("truncated")
        if known is not None:
            return bool(known)
        ids, mask = data.batch["responses"][-1], data.batch["attention_mask"][-1].bool()
        prompt = len(mask) - len(ids)
        return self._limits.cut_off(ids[mask[prompt:]].tolist(), int(mask[:prompt].sum()), {})

    def collapsed(self, data: DataProto) -> DataProto:
        """Return answers without their edits and the text these erased.

        They are for code that reads answers without this manager.

        Args:
            data: The rows, as verl passes them to a reward worker.

        Returns:
            The rows with the resolved ids as ``responses``, padded on the right, and the mask for them.
        """
        ids, mask = data.batch["responses"], data.batch["attention_mask"]
        prompt = mask.shape[1] - ids.shape[1]
        resolution = resolve(ids, mask[:, prompt:].bool(), self._vocab)
        left, kept = torch.zeros_like(ids), torch.zeros_like(ids)
        for row in range(len(ids)):
            live = resolution.resolved(row)
            left[row, : len(live)] = torch.tensor(live, dtype=ids.dtype)
            kept[row, : len(live)] = 1
        batch = data.batch.clone(recurse=False)
        batch["responses"] = left
        batch["attention_mask"] = torch.cat([mask[:, :prompt], kept.to(mask.dtype)], dim=1)
        return DataProto(batch, data.non_tensor_batch, data.meta_info)

    def _decode(self, ids: Sequence[int]) -> str:
        # Drops EOS as verl's managers do; edit tokens are not special and stay visible in the raw text.
        return self.tokenizer.decode(ids, skip_special_tokens=True)

    async def _judge(
        self,
        trace: Trace,
        row: Mapping[str, Any],
        verifier: Verifier | None,
        values: Mapping[int, float] | None,
    ) -> Answer:
        if values is None:
            values = await self._sampled_values(row, verifier)
        if verifier is not None:
            return judge_answer(trace, verifier, ground_truth(row), values)
        final = await self._ask_host(trace.final, row)
        if self._router:  # what a reward model thinks of erased text is worth no request
            raw = None
        else:
            raw = final if trace.raw == trace.final else await self._ask_host(trace.raw, row)
        return Answer.valued(trace, final, raw, values)

    async def _sampled_values(
        self, row: Mapping[str, Any], verifier: Verifier | None
    ) -> dict[int, float] | None:
        """What the continuations of each state came to, None where they are not asked for."""
        if not self._settings.values.sampled_for(verifier):
            return None
        extra_fields = row.get("tool_extra_fields") or {}
        sampled = extra_fields.get(CONTINUATIONS, {} if TURNS in extra_fields else None)
        if sampled is None:
            raise DataError(
                f"halluc.values.source={self._settings.values.source}, but an answer comes without "
                "continuations.",
                "Use the agent loop 'backtrack', in the recipe and in the data's agent_name.",
            )
        values = {}
        for position, answers in sampled.items():
            verdicts = await asyncio.gather(
                *(self._verdict(self._decode(list(ids)), row, verifier) for ids in answers)
            )
            values[position] = sum(verdict.accuracy for verdict in verdicts) / len(verdicts)
        return values

    async def _verdict(self, text: str, row: Mapping[str, Any], verifier: Verifier | None) -> Verdict:
        if verifier is None:
            return await self._ask_host(text, row)
        return Verdict.of(verifier.verify(ground_truth(row), text))

    async def _ask_host(self, text: str, row: Mapping[str, Any]) -> Verdict:
        info = {
            **extra_info(row),
            **(row.get("tool_extra_fields") or {}),
            "num_turns": row.get("__num_turns__"),
        }
        call = partial(
            self.compute_score,
            data_source=row["data_source"],
            solution_str=text,
            ground_truth=ground_truth(row),
            extra_info=info,
            **self._router,
        )
        try:
            if inspect.iscoroutinefunction(self.compute_score):
                with scoring(row["data_source"]):
                    result = await call()
            else:  # off the event loop: a host's scorer may run for seconds
                result = await self.loop.run_in_executor(None, scoring(row["data_source"])(call))
        except NotImplementedError as error:
            if self._custom:
                raise scoring_failed(error, row["data_source"]) from error
            raise unknown_source(row["data_source"]) from error
        return _host_verdict(result, text)


def _prompt(data: DataProto) -> list[int]:
    """The ids of an answer's prompt, without its padding."""
    ids, responses = data.batch["prompts"][-1], data.batch["responses"]
    mask = data.batch["attention_mask"][-1, : -responses.shape[1]].bool()
    found: list[int] = ids[mask].tolist()
    return found


def _vocab(config: DictConfig, tokenizer: Any, settings: Settings) -> EditVocab:
    backtracking = config.actor_rollout_ref.rollout.agent.default_agent_loop == "backtrack"
    find = edit_vocab if backtracking else vocab_of
    return find(tokenizer, step_delimiter=settings.tokens.step_delimiter)


def _host_verdict(result: Any, text: str) -> Verdict:
    """Read what verl's scoring functions return: a number, or a dict with ``score`` and sometimes ``acc``."""
    worth, accuracy = read_score(result)
    if not text.strip():
        return Verdict(Outcome.NO_ANSWER, worth, accuracy)
    return Verdict(Outcome.CORRECT if accuracy >= 1 else Outcome.WRONG, worth, accuracy)
