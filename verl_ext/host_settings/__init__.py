"""The settings of verl that can be combined with halluc's, as data.

:data:`TABLE` is for ``verl.trainer.main_ppo``, :data:`SFT_TABLE` for ``verl.trainer.sft_trainer``. The checks
before a run, the documentation (docs/host-settings.md) and the tests all read these tables.

Read in this order: :mod:`.table` (the form of a row, and how a run is checked against it), :mod:`.keys`
(verl's keys by name), then the rows: :mod:`.engines`, :mod:`.trainers`, :mod:`.sft`.
"""

from verl_ext.host_settings.engines import ENGINES
from verl_ext.host_settings.sft import SFT_TABLE
from verl_ext.host_settings.table import Row, Table, Values, Where, asked_for, hit, refuse, runs_of
from verl_ext.host_settings.trainers import TRAINERS

__all__ = ["SFT_TABLE", "TABLE", "Row", "Table", "Values", "Where", "asked_for", "hit", "refuse", "runs_of"]

TABLE: Table = {**ENGINES, **TRAINERS}
