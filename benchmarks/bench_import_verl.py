"""What our plugin adds to ``import verl``: CPU seconds, with and without it, in pairs. The bar is 0.1 s.

``pytest benchmarks/bench_import_verl.py -s`` prints the difference with a 95 % interval over pairs.
"""

import math
import os
import resource
import statistics
import subprocess
import sys

PAIRS = 10
QUANTILE = 2.262  # Student's t with 9 degrees of freedom


def _cpu_seconds(policy):
    """CPU seconds of a Python that imports verl, children waited for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "VERL_USE_EXTERNAL_PLUGINS": policy, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", "import verl"], env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_import_verl():
    """Registering is hooks that wait; the mean difference and its interval stay below a tenth of a second."""
    for policy in ("auto", "none"):  # caches are warm after this
        _cpu_seconds(policy)
    differences, whole = [], []
    for pair in range(PAIRS):
        order = ("auto", "none") if pair % 2 else ("none", "auto")
        seconds = {policy: _cpu_seconds(policy) for policy in order}
        differences.append(seconds["auto"] - seconds["none"])
        whole.append(seconds["none"])
    mean, half = statistics.fmean(differences), QUANTILE * statistics.stdev(differences) / math.sqrt(PAIRS)
    base = statistics.fmean(whole)
    print(f"\nimport verl: {base:.2f} s CPU without halluc, {mean:+.3f} ± {half:.3f} s with it")
    assert mean + half <= 0.1
