"""An experiment: ReVISE, verify and then correct, on learned policies; see README.md."""
