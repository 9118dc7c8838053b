"""How the app is served; gunicorn reads this by itself when started here: `gunicorn app:app`.

PORT and WEB_CONCURRENCY (processes) are gunicorn's own variables.
"""

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

from outbox import scheduler

worker_class = "gthread"
threads = 8  # requests at once per process; with the drainers within the database pool's 20
graceful_timeout = 30  # seconds after TERM; requests end in a moment, the engine within eight
keepalive = 5
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
