"""The ``halluc`` command line: one module a command, each with a ``register`` function."""
