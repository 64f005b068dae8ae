"""The verl plugin: importing this module registers it (verl imports entry points, never calls them).

verl imports it in every process, in the middle of ``import verl``, and logs a failure at DEBUG only. So
registering is cheap (hooks that wait for verl's own modules), and a failure is printed here.
"""

import sys
import traceback

try:
    from halluc_plugin import moved
    from verl_ext import old_names
    from verl_ext.registration import register

    moved.install(old_names.MODULES)
    register()
except BaseException:
    traceback.print_exc()
    sys.stderr.write(
        "halluc: the verl plugin could not be registered (see above); its names will be unknown.\n"
    )
    raise
