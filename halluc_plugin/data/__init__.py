"""Read and write files of rows: verl's rows and raw traces, in one way wherever they come from.

This package knows no task. Read in this order: :mod:`.rows` (the parts of a row), :mod:`.prompts` (from its
messages to ids), :mod:`.parquet` and :mod:`.json_files` (files of rows), :mod:`.trace_files` (files of raw
traces, which fine-tuning reads), :mod:`.resumable` (large files written in parts by several processes,
resumable after an interruption).
"""
