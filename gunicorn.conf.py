"""How the app is served; gunicorn reads this by itself when started here: `gunicorn app:app`.

PORT and WEB_CONCURRENCY (processes) are gunicorn's own variables.
"""

import os
import shutil
import tempfile

from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

# Counters of several workers add up through files in a folder, which must be known before the
# first counter is made. The arbiter makes it, its workers inherit it.
FIGURES = "PROMETHEUS_MULTIPROC_DIR"
if FIGURES not in os.environ:
    os.environ[FIGURES] = tempfile.mkdtemp(prefix="dunahub-metrics-")
    os.environ["DUNAHUB_METRICS_DIR"] = os.environ[FIGURES]  # ours to remove

from prometheus_client import multiprocess  # noqa: E402

import logs  # noqa: E402
from outbox import scheduler  # noqa: E402
from server import BufferedWorker  # noqa: E402

logs.configure()


class OneLog(Logger):  # type: ignore[misc]
    """gunicorn's own lines go through our one redacting renderer too."""

    def setup(self, config: Config) -> None:
        super().setup(config)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


logger_class = OneLog
worker_class = BufferedWorker
worker_connections = 900  # per process; a process may usually have 1,024 files open
threads = 8  # requests at once per process; with the drainers within the database pool's 20
graceful_timeout = 30  # seconds after TERM; requests end in a moment, the engine within eight
control_socket_disable = True  # its path would be the same for every copy on a machine


def post_worker_init(worker: Worker) -> None:
    """After the fork and with the app loaded: only here may threads start.

    With --preload the app, and a database connection with it, was made before the fork. A
    connection shared by two processes mixes their answers: this process forgets the inherited
    ones without closing them, because they are still the parent's.
    """
    dunahub = worker.wsgi.extensions["dunahub"]
    dunahub.database.dispose(close=False)
    dunahub.start_engine()


def worker_exit(_arbiter: Arbiter, _worker: Worker) -> None:
    """Runs in the worker after its last request: on TERM, a reload, or its own end."""
    scheduler.stop()


def child_exit(_arbiter: Arbiter, worker: Worker) -> None:
    """Runs in the arbiter: the gauges of a worker that is gone no longer count."""
    multiprocess.mark_process_dead(worker.pid)


def on_exit(_arbiter: Arbiter) -> None:
    if folder := os.environ.get("DUNAHUB_METRICS_DIR"):
        shutil.rmtree(folder, ignore_errors=True)
