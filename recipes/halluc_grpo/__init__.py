"""Measure the models of GRPO on word problems, and make the tables of the results."""
