"""The room that tries whether vLLM rewinds."""

import json
from typing import ClassVar

import pytest
from typer.testing import CliRunner

from halluc_plugin import doctor
from halluc_plugin.checks import Check
from halluc_plugin.cli.app import app
from halluc_plugin.doctor import engine, fresh, packages, vllm
from lm_eval_tasks import doctor as lm_eval
from tests.doctor.conftest import ABSENT, FAIL, OK, answering, lines
from verl_ext import doctor as verl


class TestEngine:
    """The room that is looked into with --engine."""

    SEEN: ClassVar = {
        "version": "0.28.0", "device": "cpu", "traces": 16, "strays": 0, "sampled": 3e-6, "shared": 3e-6,
        "actions": {"log-probs": 1024, "prefix cache": 1228},
    }  # fmt: skip

    def test_only_on_request(self, monkeypatch, rooms):
        """Without --engine nothing is started; with it the room is the last."""
        for room in (packages, verl, vllm, lm_eval):
            monkeypatch.setattr(room, "checks", lambda *_: [])
        monkeypatch.setattr(engine, "checks", lambda _: [Check("engine", FAIL, "no")])
        assert "engine" not in doctor.examine()
        shown = CliRunner().invoke(app, ["doctor", "--engine", "--json"])
        assert shown.exit_code == 1
        assert list(json.loads(shown.stdout)) == ["packages", "tasks", "verl", "vLLM", "lm-eval", "engine"]

    def test_exact(self, monkeypatch):
        """An engine within float tolerance is green, with the numbers."""
        call = answering(self.SEEN)
        assert lines(engine.checks(call)) == {
            "engine": (OK, "vLLM 0.28.0 on cpu"),
            "greedy traces": (OK, "16 of 16 greedy traces are those of a model without a cache"),
            "log-probs": (OK, "largest difference 3.0e-06 nats over 1024 actions"),
            "prefix cache": (OK, "largest difference 3.0e-06 nats over 1228 actions"),
        }

    @pytest.mark.parametrize(
        ("wrong", "name"),
        [
            ({"strays": 1}, "greedy traces"),
            ({"sampled": 0.02}, "log-probs"),
            ({"shared": 0.3}, "prefix cache"),
        ],
    )
    def test_inexact(self, monkeypatch, wrong, name):
        """Each difference is a red line of its own that says not to use hard context."""
        call = answering(self.SEEN | wrong)
        red = [check for check in engine.checks(call) if check.status is FAIL]
        assert [check.name for check in red] == [name]
        assert red[0].fix.startswith("Do not use context=hard")

    def test_engine_that_does_not_start(self, monkeypatch):
        """A refusal, for instance of an untested version, is shown as it is."""
        call = answering(fresh.FreshPythonError("vLLM 0.40 is installed; hard context is tested with"))
        assert lines(engine.checks(call))["engine"] == (
            FAIL,
            "vLLM 0.40 is installed; hard context is tested with",
        )

    def test_without_vllm(self, monkeypatch):
        """Nothing to try."""
        monkeypatch.setattr(engine, "find_spec", lambda _: None)
        assert lines(engine.checks(answering({}))) == {"engine": (ABSENT, "vLLM is not installed")}
