"""Show answers in a terminal, or on a page that opens from disk.

Readers (:mod:`.sources`) turn saved answers of any kind into one form (:mod:`.answers`). :mod:`.terminal`
prints it, :mod:`.page` writes it into a file of HTML.
"""

from halluc_plugin.viewer.terminal import EDIT, ERASED, SYMBOLS, answer, sampled, show

__all__ = ["EDIT", "ERASED", "SYMBOLS", "answer", "sampled", "show"]
