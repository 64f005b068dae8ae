"""verl's data set for rows whose ``extra_info`` is no mapping: written as JSON text, for example."""

from typing import Any

from verl.utils.dataset.rl_dataset import RLHFDataset

from halluc_plugin.data.rows import extra_info


class RowsDataset(RLHFDataset):
    """As verl's own, with ``extra_info`` read as everywhere (:func:`halluc_plugin.data.rows.extra_info`)."""

    def _build_messages(self, example: dict[str, Any], key: str) -> Any:
        # The first thing that is done with a row; what follows wants a mapping.
        example["extra_info"] = extra_info(example)
        return super()._build_messages(example, key)
