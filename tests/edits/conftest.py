"""The oracle of this folder: every field of a ``Resolution``, read off an ``EditState`` action by action."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from halluc_plugin.edits import EditState

DTYPES = {
    "is_edit": torch.bool,
    "erased": torch.bool,
    "noop": torch.bool,
    "erased_at": torch.long,
    "parent": torch.long,
    "depth": torch.long,
    "event": torch.long,
}


@dataclass(frozen=True)
class Batch:
    """Padded rows, and what the stack says about them."""

    rows: list[list[int]]
    ids: torch.Tensor
    valid: torch.Tensor
    expected: dict[str, torch.Tensor]

    def check(self, resolution):
        """Every field has its dtype and the stack's values; the first row that differs is shown."""
        for name, dtype in DTYPES.items():
            got, expected = getattr(resolution, name).cpu(), self.expected[name]
            assert got.dtype == dtype, name
            assert got.shape == expected.shape, name
            if not torch.equal(got, expected):
                row = int((got != expected).any(1).nonzero()[0])
                pytest.fail(
                    f"{name} of row {self.ids[row].tolist()} (valid {self.valid[row].int().tolist()}): "
                    f"{got[row].tolist()}, but the stack says {expected[row].tolist()}"
                )


def _replay(rows, vocab):
    """The fields as flat lists, in coordinates of the rows; ``erased_at`` is -1 for never."""
    fields = {name: [] for name in DTYPES}
    is_edit, erased_at, noop = fields["is_edit"], fields["erased_at"], fields["noop"]
    parent, depth, event = fields["parent"], fields["depth"], fields["event"]
    for row in rows:
        state, offset, number, in_event = EditState(vocab), len(is_edit), -1, False
        for t, token in enumerate(row):
            parent.append(state.parent)
            depth.append(state.depth)
            erased = state.push(token)
            edit = token in vocab.edit_ids
            number += edit and not in_event
            in_event = edit
            is_edit.append(edit)
            noop.append(edit and not erased)
            event.append(number if edit else -1)
            erased_at.append(-1)
            for index in erased:
                erased_at[offset + index] = t
    fields["erased"] = [at >= 0 for at in erased_at]
    return fields


@pytest.fixture(scope="session")
def lay_out():
    """Builds a :class:`Batch`: rows at the given starts of a batch of the given width, any ids as padding."""

    def build(rows, vocab, *, width=None, starts=None, padding=0):
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        width = int(lengths.max(initial=0)) if width is None else width
        starts = np.broadcast_to(0 if starts is None else starts, lengths.shape)
        row = np.repeat(np.arange(len(rows)), lengths)
        shift = np.repeat(starts, lengths)
        column = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + shift

        def table(values, outside, dtype):
            whole = np.empty((len(rows), width), dtype=dtype)
            whole[:] = outside
            whole[row, column] = values
            return torch.from_numpy(whole)

        flat = {name: np.array(values, dtype=np.int64) for name, values in _replay(rows, vocab).items()}
        flat["erased_at"] = np.where(flat["erased_at"] < 0, width, flat["erased_at"] + shift)
        flat["parent"] = np.where(flat["parent"] < 0, -1, flat["parent"] + shift)
        outside = {"erased_at": width, "parent": -1, "event": -1}
        return Batch(
            rows=rows,
            ids=table([token for tokens in rows for token in tokens], padding, np.int64),
            valid=table(1, 0, np.bool_),
            expected={
                name: table(flat[name], outside.get(name, 0), np.int64 if kind == torch.long else np.bool_)
                for name, kind in DTYPES.items()
            },
        )

    return build
