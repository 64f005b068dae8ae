"""A weight sync ends with an error when the engine that should take the weights is dead."""

import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import ray

from verl_ext.watch import sync
from verl_ext.watch.rollouts import RolloutError
from verl_ext.watch.sync import is_dead, watch_sync


@pytest.fixture
def server():
    """A server whose /health answers with what ``status`` says; its address and itself."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self):
            assert self.path == "/health"
            self.send_response(self.server.status)
            self.end_headers()

        def log_message(self, *args):
            """Not printed."""

    with HTTPServer(("127.0.0.1", 0), Health) as http:
        http.status = 200
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"127.0.0.1:{http.server_port}", http
        http.shutdown()
        thread.join()


class Worker:
    """A worker that waits until it is killed."""

    def __init__(self):
        self.killed = threading.Event()

    def wait(self, error=ray.exceptions.RayActorError):
        """As ``ray.get`` of what the worker does."""
        assert self.killed.wait(10)
        raise error


@pytest.fixture
def worker(monkeypatch):
    """The worker, watched at short intervals."""
    monkeypatch.setattr(sync, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(sync.ray, "kill", lambda actor: actor.killed.set())
    return Worker()


@pytest.mark.parametrize(("status", "dead"), [(200, False), (503, True), (404, False)])
def test_who_says_that_it_is_in_error_is_dead(server, status, dead):
    """VLLM answers 503 for a dead engine; a server without the page may be well."""
    server[1].status = status
    assert is_dead(server[0]) is dead


def test_who_does_not_listen_is_dead():
    """Nobody is at the address of a server that was killed."""
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as http:
        address = f"127.0.0.1:{http.server_port}"
    assert is_dead(address)


def test_who_breaks_off_is_dead():
    """A server that goes down while it is asked closes the connection without a word."""

    class Closing(BaseHTTPRequestHandler):
        def handle(self):
            """No answer."""

    with HTTPServer(("127.0.0.1", 0), Closing) as http:
        thread = threading.Thread(target=http.handle_request)
        thread.start()
        assert is_dead(f"127.0.0.1:{http.server_port}")
        thread.join()


def test_a_slow_answer_is_waited_for(monkeypatch):
    """An engine that is too busy to answer in time is alive."""
    monkeypatch.setattr(sync, "ANSWER_SECONDS", 0.05)
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as http:  # listens, and serves nobody
        assert not is_dead(f"127.0.0.1:{http.server_port}")


def test_a_sync_with_a_dead_engine_ends(server, worker):
    """The worker that waits for the engine is killed, and the error names the engine."""
    server[1].status = 503
    with (
        pytest.raises(RolloutError, match=f"engine behind {server[0]} died"),
        watch_sync([server[0]], [worker], 60),
    ):
        worker.wait()


def test_a_sync_without_end_ends(server, worker):
    """Also where every engine says that it is well."""
    with (
        pytest.raises(RolloutError, match="not taken new weights for 0 seconds"),
        watch_sync([server[0]], [worker], 0.05),
    ):
        worker.wait()


def test_a_sync_that_works_is_left_alone(server, worker):
    """However often the engine is asked; an error of the worker's own stays what it is."""
    with watch_sync([server[0]], [worker], 60):
        time.sleep(0.1)
    assert not worker.killed.is_set()
    worker.killed.set()
    with pytest.raises(ray.exceptions.RayActorError), watch_sync([server[0]], [worker], 60):
        worker.wait()


def test_a_sync_that_is_over_while_a_server_is_asked_was_good(monkeypatch, worker):
    """What a late answer says kills nobody, and a good sync does not wait for it."""
    asked, answered = threading.Event(), threading.Event()

    def late(server):
        asked.set()
        return answered.wait(10)

    monkeypatch.setattr(sync, "is_dead", late)
    with watch_sync(["a:1"], [worker], 60):
        assert asked.wait(10)
    answered.set()
    time.sleep(0.1)
    assert not worker.killed.is_set()


def test_the_error_of_a_worker_that_lost_another_is_not_the_cause(server, worker):
    """Of two workers that are killed, one may fail first by the broken connection to the other."""
    server[1].status = 503
    with (
        pytest.raises(RolloutError, match="engine behind"),
        watch_sync([server[0]], [worker], 60),
    ):
        worker.wait(RuntimeError)


def test_a_sync_that_ends_as_its_engine_dies_is_told(server, worker):
    """The workers are dead, so the run cannot go on, whatever the sync returned."""
    server[1].status = 503
    with (
        pytest.raises(RolloutError, match="engine behind"),
        watch_sync([server[0]], [worker], 60),
    ):
        assert worker.killed.wait(10)
