"""Follow the requests of model runner V2, which keeps each in a slot and its tokens on the device.

Runner V1 gives a processor the list of a request's tokens. Runner V2 gives it a table on the device, from
which the lists that the gates read are brought up to date here, by one transfer a step.
"""

from typing import Any

import torch
from vllm.sampling_params import SamplingParams

from halluc_plugin.vllm_engine.gate import Gate


class Slots:
    """The gates of the requests with limits, by slot; a slot belongs to its latest request.

    Args:
        states: vLLM's ``LogitsProcRequestState``: ``all_token_ids`` (Int32[slots, positions]), ``total_len``
            and ``prompt_len`` (Int32[slots]). They are read and never written.
    """

    def __init__(self, states: Any) -> None:
        self._states = states
        self._gates: dict[int, Gate] = {}

    def add(self, slot: int, params: SamplingParams) -> bool:
        """Follow a request that enters a slot, whose output so far is read with its first step.

        Returns:
            Whether anything can ever be banned for it.
        """
        self._gates.pop(slot, None)
        gate = Gate.of(params, None, [])
        if gate is not None:
            self._gates[slot] = gate
        return gate is not None

    def rows(self, batch: Any) -> dict[int, Gate]:
        """Return the gates of a step by the row of their logits, with the tokens sampled until now.

        Args:
            batch: vLLM's ``LogitsContext``, in which every request has one row.
        """
        rows = {
            row: self._gates[slot]
            for row, slot in enumerate(batch.idx_mapping_np.tolist())
            if slot in self._gates
        }
        if rows:
            self._read([int(batch.idx_mapping_np[row]) for row in rows], list(rows.values()))
        return rows

    def _read(self, slots: list[int], gates: list[Gate]) -> None:
        states = self._states
        index = torch.tensor(slots, device=states.device)
        ends = states.total_len.gpu[index].long()
        latest = states.all_token_ids.gpu[index, (ends - 1).clamp(min=0)].long()
        for slot, gate, end, token_id in zip(
            slots, gates, *torch.stack((ends, latest)).tolist(), strict=True
        ):
            begin, have = int(states.prompt_len.np[slot]), len(gate.output_ids)
            length = end - begin
            if length == have + 1:
                gate.output_ids.append(token_id)
            elif length > have:  # it comes back with earlier output
                gate.output_ids += states.all_token_ids.gpu[slot, begin + have : end].tolist()
            else:
                del gate.output_ids[length:]
