"""What operators get matches the product: image, compose file, alerts, dashboard, runbook."""

import json
import re
import subprocess
import sys
from pathlib import Path

import yaml
from flask import Flask

from models.base import Json
from notices.conditions import FOR_OPERATORS
from notices.wording import FOLDER

ROOT = Path(__file__).parent.parent
RUNBOOK = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")


def _yaml(path: str) -> Json:
    parsed: Json = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
    return parsed


def _anchors(markdown: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", markdown, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_yaml_files_are_tidy() -> None:
    files = ["compose.yaml", "deploy/prometheus/alerts.yml", "deploy/prometheus/prometheus.yml"]
    done = subprocess.run(
        [sys.executable, "-m", "yamllint", "--strict", *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_bandit_finds_nothing_that_is_not_explained() -> None:
    tools = {"development", "simulator", "stripe_simulator", "benchmarks", "tests"}
    packages = [path.parent.name for path in ROOT.glob("*/__init__.py")]
    product = [name for name in packages if name not in tools]
    product += [path.name for path in ROOT.glob("*.py")]
    done = subprocess.run(
        [sys.executable, "-m", "bandit", "-q", "-c", "pyproject.toml", "-r", *sorted(product)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_alerts_and_dashboard_ask_for_figures_that_exist(app: Flask) -> None:
    told = app.test_client().get("/metrics").get_data(as_text=True)
    known = set(re.findall(r"^# TYPE (\w+)", told, re.MULTILINE))
    rules = _yaml("deploy/prometheus/alerts.yml")["groups"][0]["rules"]
    board = json.loads((ROOT / "deploy/grafana/dashboard.json").read_text(encoding="utf-8"))
    asked = " ".join(rule["expr"] for rule in rules)
    asked += " ".join(one["expr"] for panel in board["panels"] for one in panel["targets"])
    names = set(re.findall(r"\bdunahub_\w+", asked))
    assert len(names) > 15
    assert {re.sub(r"_(bucket|count)$", "", name) for name in names} - known == set()


def test_every_alert_and_every_letter_to_operators_has_its_page(app: Flask) -> None:
    rules = _yaml("deploy/prometheus/alerts.yml")["groups"][0]["rules"]
    anchors = _anchors(RUNBOOK)
    for rule in rules:
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert page == "docs/runbook.md"
        assert not anchor or anchor in anchors, rule["alert"]
    letters = "".join((FOLDER / f"{kind}.txt").read_text("utf-8") for kind in FOR_OPERATORS)
    headings = set(re.findall(r"^#+ (.+)$", RUNBOOK, re.MULTILINE))
    named = set(re.findall(r"“([^”]+)”", letters))
    assert len(named) >= len(FOR_OPERATORS)
    assert named - headings == set()


def test_the_image_holds_everything_that_production_imports() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    copied = set(" ".join(re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.M)).split())
    tools = {"development", "simulator", "stripe_simulator", "benchmarks", "tests"}
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - tools
    modules = {path.name for path in ROOT.glob("*.py")}
    folders = {"templates", "static", "translations", "migrations"}
    assert (packages | modules | folders | {"alembic.ini", "requirements.txt"}) - copied == set()
    assert not copied & tools


def test_compose_gives_every_secret_as_a_file() -> None:
    compose = _yaml("compose.yaml")
    web = compose["services"]["web"]
    secret_names = {"DATABASE_URL", "SECRET_KEY", "TOKEN_KEYS", "QUICKBOOKS_CLIENT_SECRET"}
    assert {f"{name}_FILE" for name in secret_names} <= web["environment"].keys()
    assert not secret_names & web["environment"].keys()
    assert set(web["secrets"]) <= compose["secrets"].keys()
    assert web["read_only"] is True
