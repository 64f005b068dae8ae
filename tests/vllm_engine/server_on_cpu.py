"""Run by test_rewind_servers_e2e.py: ``vllm serve`` where vLLM is installed as its CPU build."""

import sys

from halluc_plugin.vllm_engine.metadata import offer_vllm_metadata

offer_vllm_metadata()

from vllm.entrypoints.cli.main import main  # noqa: E402 (reads the version of vllm when imported)

if __name__ == "__main__":
    sys.exit(main())
