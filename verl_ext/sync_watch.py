"""Ends a weight sync whose rollout engine is dead: verl 0.9.1 waits for its answer without end."""

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray

from verl_ext.rollout_watch import GO_ON, RolloutError

POLL_SECONDS = 10.0
ANSWER_SECONDS = 30.0


@contextmanager
def watch_sync(servers: Sequence[str], actors: Sequence[Any], stalled_after: float) -> Iterator[None]:
    """Raise from a block that waits for actor workers, when what these wait for will not come.

    A worker that sends weights waits on a socket, out of reach for any error. The one way to free who waits
    for the worker is to kill it; the run has to stop in any case.

    Args:
        servers: Addresses (``host:port``) of the rollout servers.
        actors: Handles of the actor workers.
        stalled_after: Seconds that a sync may take.

    Raises:
        RolloutError: A server says, by its ``/health``, that its engine is dead; or time is up.
    """
    over, causes = threading.Event(), []

    def watch() -> None:
        begun = time.monotonic()
        while not over.wait(POLL_SECONDS):
            dead = [server for server in servers if is_dead(server)]
            if dead:
                causes.append(f"The rollout engine behind {dead[0]} died, and waits for no weights.")
            elif time.monotonic() - begun > stalled_after:
                causes.append(
                    f"The rollout engines have not taken new weights for {stalled_after:.0f} seconds."
                )
            if causes:
                for actor in actors:
                    ray.kill(actor)
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    except ray.exceptions.RayActorError as error:
        if not causes:
            raise
        raise RolloutError(
            causes[0], f"Look for the cause above (memory is the usual one); {GO_ON}."
        ) from error
    finally:
        over.set()
        thread.join()


def is_dead(server: str) -> bool:
    """Whether nobody listens at an address any more, or who does is in error; a busy server is alive.

    Args:
        server: ``host:port``.
    """
    # Rollout servers are inside the cluster: a proxy of the environment is not meant for them.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{server}/health", timeout=ANSWER_SECONDS):
            return False
    except urllib.error.HTTPError as error:
        return error.code >= 500
    except urllib.error.URLError as error:
        return isinstance(error.reason, ConnectionRefusedError)
    except TimeoutError:
        return False
