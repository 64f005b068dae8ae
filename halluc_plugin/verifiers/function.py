"""Use a scoring function with verl's signature as a verifier: that of a run, or verl's own.

``compute_score(data_source=, solution_str=, ground_truth=, extra_info=)`` returns a number, or a mapping with
``score`` and sometimes ``acc`` (verl's ``reward.custom_reward_function``).
"""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from halluc_plugin.errors import DataError, HallucError, SettingsError, in_one_line
from halluc_plugin.verifiers.base import Outcome

Score = Callable[..., Any]
VERLS = "verl.utils.reward_score:default_compute_score"
"""Place of the function by which verl scores the sources it knows."""


class FunctionVerifier:
    """A verifier of the answers to one row.

    Args:
        score: The scoring function.
        data_source: Data source of the row.
        extra_info: The ``extra_info`` of the row.
    """

    def __init__(self, score: Score, data_source: str, extra_info: Mapping[str, Any] | None = None) -> None:
        self.data_sources: tuple[str, ...] = (data_source,)
        self._score, self._extra_info = score, dict(extra_info or {})

    def verify(self, problem: Any, answer: str) -> Outcome:
        """Judge a resolved answer.

        Args:
            problem: The ``reward_model.ground_truth`` of the row.
            answer: Text of the answer; a blank text counts as no answer.

        Raises:
            DataError: The function does not know the row's source, or raised an error.
        """
        if not answer.strip():
            return Outcome.NO_ANSWER
        (source,) = self.data_sources
        try:
            with scoring(source):
                result = self._score(
                    data_source=source, solution_str=answer, ground_truth=problem, extra_info=self._extra_info
                )
        except NotImplementedError as error:
            raise DataError(
                f"The reward function does not know the data source {source!r} ({error}).",
                "Use rows of a source that it scores, or another --reward-function.",
            ) from error
        return Outcome.CORRECT if read_score(result)[1] >= 1 else Outcome.WRONG


@contextmanager
def scoring(data_source: Any) -> Iterator[None]:
    """Turn any error that a scoring function raises inside the block into one kind of error.

    Otherwise some errors would be lost: a ``StopIteration`` does not pass between threads, a ``SystemExit``
    ends the worker or the command without a message, and exceptions with arguments of their own cannot be
    unpickled. A ``NotImplementedError``, by which verl's functions refuse a source, is left to the caller.

    Args:
        data_source: Data source of the row, for the message.

    Raises:
        DataError: The function raised an error.
    """
    try:
        yield
    except (HallucError, NotImplementedError):
        raise
    except (Exception, SystemExit) as error:
        raise scoring_failed(error, data_source) from error


def scoring_failed(error: BaseException, data_source: Any) -> DataError:
    """Return the error that reports what a scoring function raised.

    Args:
        error: The error that it raised.
        data_source: Data source of the row.
    """
    return DataError(
        f"The reward function raised {in_one_line(error)} at an answer to a problem of {data_source!r}.",
        "Correct the function or the row; the traceback shows where.",
    )


def read_score(result: Any) -> tuple[float, float]:
    """Return reward and accuracy from the result of a scoring function; a plain number is both.

    An accuracy is a share from 0 to 1. A number on another scale, such as DAPO's -1 and 1, is not a share:
    then 1 or more gives accuracy 1, and anything else 0.

    Args:
        result: A number, or a mapping with ``score`` and sometimes ``acc``.

    Raises:
        DataError: The result is neither.
    """
    try:
        worth = float(result["score"] if isinstance(result, Mapping) else result)
        accuracy = float(result.get("acc", worth)) if isinstance(result, Mapping) else worth
        return worth, accuracy if 0 <= accuracy <= 1 else float(accuracy > 1)
    except (TypeError, ValueError, KeyError) as error:
        raise DataError(
            f"The reward function returned {result!r}.",
            "Return a number, or a dict with 'score' and, if you like, 'acc'.",
        ) from error


def load_score(name: str) -> Score:
    """Return the scoring function at a place.

    Args:
        name: ``FILE.py:FUNCTION`` or ``MODULE:FUNCTION``, such as :data:`VERLS`.

    Raises:
        SettingsError: There is no such function, or it is asynchronous.
    """
    place, colon, function = name.rpartition(":")
    if not colon or not place or not function:
        raise SettingsError(
            f"--reward-function {name} names no function.",
            f"Give FILE.py:FUNCTION, or MODULE:FUNCTION such as {VERLS}.",
        )
    try:
        module = _from_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
        found = getattr(module, function)
    except (Exception, SystemExit) as error:  # anything may be wrong with a user's file
        raise SettingsError(
            f"--reward-function {name} cannot be loaded: {in_one_line(error)}.",
            "Look at the file and the function's name.",
        ) from error
    if not callable(found) or inspect.iscoroutinefunction(found):
        raise SettingsError(
            f"--reward-function {name} is not a plain function.",
            "Give one with verl's signature: data_source, solution_str, ground_truth, extra_info.",
        )
    score: Score = found
    return score


def _from_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"halluc_reward_function_{path.stem}", path)
    assert spec is not None  # its name ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickles look their module up
    spec.loader.exec_module(module)
    return module
