"""What experiments share: judging, keeping, tables, plots and reports."""
