"""An experiment: the token against the methods that a reviewer would ask for; see README.md."""
