"""Pretended installations, entry points, and what another Python answers."""

from importlib.metadata import EntryPoint

import pytest

from halluc_plugin import doctor
from halluc_plugin.checks import CheckStatus
from halluc_plugin.doctor import packages

OK, WARN, FAIL, ABSENT = CheckStatus


@pytest.fixture
def installed(monkeypatch):
    """Pretend that exactly these distributions are installed, with these requirements."""

    def pretend(versions, requirements=None):
        monkeypatch.setattr(packages, "installed_version", versions.get)
        monkeypatch.setattr(packages, "requires", lambda name: (requirements or {}).get(name, []))

    return pretend


def lines(checks):
    """Status and detail by name."""
    return {check.name: (check.status, check.detail) for check in checks}


def answering(answer):
    """Another Python that answers this, or raises it."""

    def call(_target, *, beside=None):
        if isinstance(answer, Exception):
            raise answer
        return answer

    return call


@pytest.fixture
def rooms(monkeypatch):
    """Pretend that entry points announce these rooms: name and value."""

    def pretend(**points):
        announced = [
            EntryPoint(name.replace("_", "-"), value, doctor.GROUP) for name, value in points.items()
        ]
        monkeypatch.setattr(doctor, "entry_points", lambda *, group: announced)

    pretend(verl="verl_ext.doctor:checks", lm_eval="lm_eval_tasks.doctor:checks")
    return pretend
