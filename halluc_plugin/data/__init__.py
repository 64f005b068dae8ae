"""Files of rows: verl's rows and raw traces, read and written in one way wherever they come from.

No task is known here. Read in this order: :mod:`.rows` (the parts of a row), :mod:`.prompts` (from its
messages to ids), :mod:`.parquet` and :mod:`.json_files` (files of rows), :mod:`.trace_files` (files of raw
traces, which fine-tuning reads), :mod:`.resumable` (large files in parts, by several processes, and on from
where an interrupted run was).
"""
