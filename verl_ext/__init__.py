"""The verl plugin: importing this module registers it (verl imports entry points, never calls them)."""
