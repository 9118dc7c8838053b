# One image for all three processes: release, web, worker (see Procfile and compose.yaml).
FROM python:3.11-slim-bookworm AS build
WORKDIR /app
COPY requirements.txt .
# Everything is pinned with its hash: what is installed is what was tested.
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --require-hashes --requirement requirements.txt

FROM python:3.11-slim-bookworm
# No shell log-in, no home worth writing to, nothing owned by the account that serves.
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin dunahub
COPY --from=build /venv /venv
WORKDIR /app
COPY alembic.ini app.py config.py db.py gunicorn.conf.py languages.py logs.py prepared.py server.py ./
COPY migrations migrations
COPY models models
COPY outbox outbox
COPY quickbooks quickbooks
COPY processors processors
COPY notices notices
COPY clients clients
COPY web web
COPY presenters presenters
COPY views views
COPY templates templates
COPY static static
COPY translations translations
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER dunahub
EXPOSE 8000
# Alive, not ready: a database that is away is no reason to start this anew.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s CMD \
  ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ.get(\"PORT\", 8000)}/healthz', timeout=4)"]
# gunicorn.conf.py is read from here; TERM gives requests and the call in hand time to end.
CMD ["sh", "-c", "exec gunicorn app:app --bind 0.0.0.0:${PORT:-8000} --worker-tmp-dir /dev/shm"]
