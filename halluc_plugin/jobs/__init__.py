"""Jobs of the command line that need a model: opening it, and carrying a job out in parts."""
