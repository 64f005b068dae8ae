"""GRPO with the token: how its models on word problems are measured, and the tables of the results."""
