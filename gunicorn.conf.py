"""gunicorn's settings, read automatically when it is started here: `gunicorn app:app`.

PORT and WEB_CONCURRENCY (processes) are gunicorn's own variables.
"""

import os
import shutil
import tempfile

from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

# Metrics of several workers are added up through files in a folder, which must exist before the
# first metric is created. The arbiter creates it, the workers inherit it.
FIGURES = "PROMETHEUS_MULTIPROC_DIR"
if FIGURES not in os.environ:
    os.environ[FIGURES] = tempfile.mkdtemp(prefix="dunahub-metrics-")
    os.environ["DUNAHUB_METRICS_DIR"] = os.environ[FIGURES]  # we created it, so we remove it

from prometheus_client import multiprocess  # noqa: E402

import logs  # noqa: E402
from outbox import scheduler  # noqa: E402
from server import BufferedWorker  # noqa: E402

logs.configure()


class OneLog(Logger):  # type: ignore[misc]
    """Sends gunicorn's own log through our redacting renderer, too."""

    def setup(self, config: Config) -> None:
        super().setup(config)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


logger_class = OneLog
worker_class = BufferedWorker
worker_connections = 900  # per process; the usual limit of open files is 1,024
threads = 8  # requests at once per process; with the drainers within the database pool's 20
graceful_timeout = 75  # seconds after TERM; the engine waits for its calls, at most CALL_DEADLINE
control_socket_disable = True  # its path would be the same for every copy on a machine


def post_worker_init(worker: Worker) -> None:
    """Starts the engine. Threads may only start here, after the fork.

    With --preload the app, and a database connection with it, was created before the fork. A
    connection shared by two processes mixes up their answers. This process forgets the inherited
    connections without closing them, because they still belong to the parent.
    """
    dunahub = worker.wsgi.extensions["dunahub"]
    dunahub.database.dispose(close=False)
    dunahub.start_engine()


def worker_exit(_arbiter: Arbiter, _worker: Worker) -> None:
    """Runs in the worker after its last request: on TERM, on a reload, or when it is replaced."""
    scheduler.stop()


def child_exit(_arbiter: Arbiter, worker: Worker) -> None:
    """Runs in the arbiter: removes the gauges of a worker that has ended."""
    multiprocess.mark_process_dead(worker.pid)


def on_exit(_arbiter: Arbiter) -> None:
    if folder := os.environ.get("DUNAHUB_METRICS_DIR"):
        shutil.rmtree(folder, ignore_errors=True)
