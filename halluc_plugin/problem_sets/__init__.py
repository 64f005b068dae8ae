"""What the data sets of tasks share: splits, files of problems, and raw traces with errors in them."""
