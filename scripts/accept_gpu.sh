#!/usr/bin/env bash
# Try on this machine's accelerator what was tested on CPUs; under ten minutes, one JSON file.
#   scripts/accept_gpu.sh --part hf      torch and transformers alone, nothing is downloaded
#   scripts/accept_gpu.sh --part verl    verl and vLLM
# --cpu tries the script itself, --out names the file: docs/compatibility.md.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" exec "${PYTHON:-python3}" -m halluc_plugin.acceptance "$@"
