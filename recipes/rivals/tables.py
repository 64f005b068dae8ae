"""The tables, the curves and the forest plot of the experiment."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from rich.table import Table

from halluc_plugin.recipes.lab import budgets as lab
from halluc_plugin.recipes.lab.tabulating import Cell
from halluc_plugin.recipes.rivals.answering import MAJORITY

budgets = partial(lab.budgets, against=MAJORITY)
"""Right answers at each budget, and the paired difference to the clean majority."""
effects = partial(lab.effects, against=MAJORITY)
spent, plots = lab.spent, lab.plots
TABLES: Mapping[str, Callable[[Sequence[Cell]], Table]] = {"budgets": budgets, "spent": spent}
