"""The verl plugin: importing this module registers it (verl imports entry points, never calls them).

verl imports it in every process, in the middle of ``import verl``, and logs a failure at DEBUG only.
Registering is therefore cheap (hooks that wait for verl's own modules), and a failure is printed here.

Read in this order: :mod:`.registration` (what is added to verl, and when); :mod:`.loops`,
:mod:`.reward_manager`, :mod:`.engine`, :mod:`.advantage` and :mod:`.trainer`, as a batch passes them
(docs/architecture.md walks with it), and :mod:`.columns` (what it carries); :mod:`.run_settings` (how
settings reach them); :mod:`.recipe` and :mod:`.preflight` (before a run starts), :mod:`.watch` (while it
runs).
"""

import sys
import traceback

try:
    from halluc_plugin import moved
    from verl_ext import old_names
    from verl_ext.registration import register

    moved.install(old_names.MODULES, old_names.NAMES)
    register()
except BaseException:
    traceback.print_exc()
    sys.stderr.write(
        "halluc: the verl plugin could not be registered (see above); its names will be unknown.\n"
    )
    raise
