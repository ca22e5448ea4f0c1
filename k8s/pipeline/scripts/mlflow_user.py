"""Makes a user of MLflow and gives it its registered models. Safe to run as often as one likes.

Settings: MLFLOW_URL, MODELS (blank separated). Files: ADMIN and LOGIN, folders with `username` and
`password`. The user may make experiments and models, as every user may, and owns what it makes. Models of
MODELS that are there already and belong to somebody else become its own, too.
"""

import base64
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

API = "/api/2.0/mlflow"
# MLflow answers when this runs; a minute is a pod that moves to another node.
WAIT_SECONDS = 60
TRANSIENT = (500, 502, 503, 504)


class Mlflow:
    """The server, as one user."""

    def __init__(self, url: str, folder: str):
        self.url = url.rstrip("/")
        self.username = Path(folder, "username").read_text()
        self.password = Path(folder, "password").read_text()

    def ask(self, method: str, path: str, **values: str) -> tuple[int, dict]:
        """Status and answer. Repeated while the server is away."""
        login = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        url, body = f"{self.url}{API}/{path}", None
        if method == "GET":
            url += f"?{urllib.parse.urlencode(values)}"
        else:
            body = json.dumps(values).encode()
        headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            request = urllib.request.Request(url, body, headers, method=method)
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    return answer.status, json.loads(answer.read() or b"{}")
            except urllib.error.HTTPError as error:
                text = error.read()
                if error.code not in TRANSIENT:
                    return error.code, parse(text)
                problem = f"{error.code}"
            except OSError as error:
                problem = str(error)
            if time.monotonic() > deadline:
                sys.exit(f"MLflow does not answer {path} within {WAIT_SECONDS} s: {problem}")
            time.sleep(1)

    def must(self, method: str, path: str, **values: str) -> dict:
        status, answer = self.ask(method, path, **values)
        if status >= 300:
            # The answer repeats no password.
            sys.exit(f"MLflow refuses {path} for {self.username}: {status} {answer.get('message', '')}")
        return answer


def parse(text: bytes) -> dict:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def make_user(admin: Mlflow, user: Mlflow) -> None:
    status, _ = admin.ask("GET", "users/get", username=user.username)
    if status == 404:
        admin.must("POST", "users/create", username=user.username, password=user.password)
        print(f"made the user {user.username}")
    elif status >= 300:
        sys.exit(f"MLflow refuses its administrator: {status}")
    elif user.ask("GET", "registered-models/search", max_results="1")[0] == 401:
        admin.must("PATCH", "users/update-password", username=user.username, password=user.password)
        print(f"set the password of {user.username}")


def own_model(admin: Mlflow, user: Mlflow, model: str) -> None:
    """Whoever makes a model may manage it; one that is there already has to be handed over."""
    status, answer = user.ask("POST", "registered-models/create", name=model)
    if status < 300:
        print(f"made the model {model}")
        return
    if answer.get("error_code") != "RESOURCE_ALREADY_EXISTS":
        sys.exit(f"MLflow refuses the model {model}: {status} {answer.get('message', '')}")
    whose = {"name": model, "username": user.username}
    status, answer = admin.ask("GET", "registered-models/permissions/get", **whose)
    known = answer.get("registered_model_permission", {}).get("permission")
    if status == 404:
        admin.must("POST", "registered-models/permissions/create", **whose, permission="MANAGE")
    elif known != "MANAGE":
        admin.must("PATCH", "registered-models/permissions/update", **whose, permission="MANAGE")


def main() -> None:
    admin = Mlflow(os.environ["MLFLOW_URL"], os.environ["ADMIN"])
    user = Mlflow(os.environ["MLFLOW_URL"], os.environ["LOGIN"])
    make_user(admin, user)
    for model in os.environ["MODELS"].split():
        own_model(admin, user, model)
    print(f"{user.username} is ready")


if __name__ == "__main__":
    main()
