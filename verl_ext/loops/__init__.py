"""The agent loops, and what they need."""
