"""The ``halluc`` command line: the commands, their options and their output.

The work itself is done by other packages. Read in this order: :mod:`.app` (gathers the commands, and turns
halluc's errors into one clear line), then the module of a command, each with a ``register`` function:
:mod:`.add_token`, :mod:`.data` (its commands in :mod:`.data_tasks`, :mod:`.data_references` and
:mod:`.data_own`), :mod:`.train`, :mod:`.search`, :mod:`.view`, :mod:`.doctor`, :mod:`.theory`;
:mod:`.adapters` finds the commands of adapters. Their common parts are :mod:`.choices` and
:mod:`.data_options` (options), :mod:`.help`, :mod:`.cards` and :mod:`.data_output` (output when a command is
done).
"""
