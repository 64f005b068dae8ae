"""The ``halluc`` command line: the names of commands, their options, and what they print; the work is below.

Read in this order: :mod:`.app` (gathers the commands, and turns our errors into one clear line), then the
module of a command, each with a ``register`` function: :mod:`.add_token`, :mod:`.data` (its commands in
:mod:`.data_tasks`, :mod:`.data_references` and :mod:`.data_own`), :mod:`.train`, :mod:`.search`,
:mod:`.view`, :mod:`.doctor`, :mod:`.theory`; :mod:`.adapters` finds those that adapters bring along. What
they share: :mod:`.choices` and :mod:`.data_options` (options), :mod:`.help`, :mod:`.cards` and
:mod:`.data_output` (what is said and written when a command is done).
"""
