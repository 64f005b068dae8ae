"""End a weight sync whose rollout engine is dead, since verl 0.9.1 waits for its answer forever."""

import http.client
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray

from verl_ext.watch.rollouts import GO_ON, RolloutError

POLL_SECONDS = 10.0
ANSWER_SECONDS = 30.0


@contextmanager
def watch_sync(servers: Sequence[str], actors: Sequence[Any], stalled_after: float) -> Iterator[None]:
    """Raise an error in a block that waits for actor workers whose rollout servers will not answer.

    A worker that sends weights waits on a socket, where no error can reach it. The only way to end the wait
    for the worker is to kill it; the run has to stop in any case.

    Args:
        servers: Addresses (``host:port``) of the rollout servers.
        actors: Handles of the actor workers.
        stalled_after: Number of seconds that a sync may take.

    Raises:
        RolloutError: A server's ``/health`` reports that its engine is dead, or the time is up.
    """
    watch = _SyncWatch(servers, actors, stalled_after)
    threading.Thread(target=watch.run, daemon=True).start()
    try:
        yield
    except Exception as error:
        # Of several workers that were killed, one may fail by the loss of another.
        watch.end(error)
        raise
    watch.end(None)


class _SyncWatch:
    """Asks the servers for their health in a thread next to the one that waits."""

    def __init__(self, servers: Sequence[str], actors: Sequence[Any], stalled_after: float) -> None:
        self._servers, self._actors, self._stalled_after = servers, actors, stalled_after
        self._begun = time.monotonic()
        self._over, self._lock = threading.Event(), threading.Lock()
        self._why: RolloutError | None = None

    def run(self) -> None:
        """Ask now and then, until the sync is over or hopeless; in a thread of its own."""
        while not self._over.wait(POLL_SECONDS):
            why = self._hopeless()
            with self._lock:  # a sync that is over by now was a good one: its workers live on
                if why is not None and not self._over.is_set():
                    self._why = why
                    for actor in self._actors:
                        ray.kill(actor)
                    return

    def end(self, error: Exception | None) -> None:
        """The sync is over; raise what ended it, if that was the watch."""
        with self._lock:
            self._over.set()
        if self._why is not None:
            raise self._why from error

    def _hopeless(self) -> RolloutError | None:
        for server in self._servers:
            if is_dead(server):
                return RolloutError(
                    f"The rollout engine behind {server} died, and waits for no weights.",
                    f"Look for the cause above (memory is the usual one); {GO_ON}.",
                )
        if time.monotonic() - self._begun > self._stalled_after:
            return RolloutError(
                f"The rollout engines have not taken new weights for {self._stalled_after:.0f} seconds.",
                "Look at the rollout server and the actor workers for what hangs; "
                f"{GO_ON}. ++halluc.failures.stalled_after=SECONDS sets this limit.",
            )
        return None


def is_dead(server: str) -> bool:
    """Return whether a server does not answer any more, or answers with an error; a busy server is alive.

    Args:
        server: Address of the server, ``host:port``.
    """
    # Rollout servers are inside the cluster: a proxy of the environment is not meant for them.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{server}/health", timeout=ANSWER_SECONDS):
            return False
    except urllib.error.HTTPError as error:
        return error.code >= 500
    except urllib.error.URLError as error:
        return isinstance(error.reason, ConnectionError)
    except ConnectionError:  # it broke off before it had answered
        return True
    except (OSError, http.client.HTTPException):  # too slow, or unlike a web server: the next poll settles it
        return False
