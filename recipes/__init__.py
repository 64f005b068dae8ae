"""Recipes: Hydra configurations a user selects with ``+recipe=NAME``, one folder of documentation each."""
