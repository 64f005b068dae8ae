"""A data set for verl of rows whose ``extra_info`` is not a mapping, but for example JSON text."""

from typing import Any

from verl.utils.dataset.rl_dataset import RLHFDataset

from halluc_plugin.data.rows import extra_info


class RowsDataset(RLHFDataset):
    """verl's own data set, with ``extra_info`` read by :func:`halluc_plugin.data.rows.extra_info`."""

    def _build_messages(self, example: dict[str, Any], key: str) -> Any:
        # The first thing that is done with a row; what follows wants a mapping.
        example["extra_info"] = extra_info(example)
        return super()._build_messages(example, key)
