"""The Hydra callbacks of the recipes."""
