"""Problem generators with exact answers, raw traces with errors, and verl parquet files."""
