"""Settings of verl beside ours: what goes with what, as data.

:data:`TABLE` is of ``verl.trainer.main_ppo``, :data:`SFT_TABLE` of ``verl.trainer.sft_trainer``. The checks
before a run, the documentation (docs/host-settings.md) and the tests read them; nothing else says it.

Read in this order: :mod:`.table` (what a row says, and how a run is held against it), :mod:`.keys` (verl's
keys by name), then the rows: :mod:`.engines`, :mod:`.trainers`, :mod:`.sft`.
"""

from verl_ext.host_settings.engines import ENGINES
from verl_ext.host_settings.sft import SFT_TABLE
from verl_ext.host_settings.table import Row, Table, Values, Where, asked_for, refuse, runs_of
from verl_ext.host_settings.trainers import TRAINERS

__all__ = ["SFT_TABLE", "TABLE", "Row", "Table", "Values", "Where", "asked_for", "refuse", "runs_of"]

TABLE: Table = {**ENGINES, **TRAINERS}
