"""Starting and following the first workflow; the user of MLflow."""

import importlib.util
import json
import os
import tempfile
import unittest
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from unittest import mock

import start_workflow
from cluster import Cluster, Conflict
from errors import Code, StepError

SCRIPT = Path(__file__).resolve().parents[2] / "k8s" / "pipeline" / "scripts" / "mlflow_user.py"


class Workflows(Cluster):
    """Workflows that go through phases, one at each look."""

    def __init__(self, phases: list[str], known: dict[str, str] | None = None):
        super().__init__("http://cluster.example")
        self.phases = iter(phases)
        self.objects = {name: workflow(phase) for name, phase in (known or {}).items()}
        self.created: list[dict] = []

    def get(self, path: str) -> dict | None:
        name = path.rpartition("/")[2]
        if name in self.objects and name in [made["metadata"]["name"] for made in self.created]:
            self.objects[name] = workflow(next(self.phases))
        return self.objects.get(name)

    def create(self, path: str, body: dict) -> dict:
        if body["metadata"]["name"] in self.objects:
            raise Conflict
        self.created.append(body)
        self.objects[body["metadata"]["name"]] = workflow("")
        return body


def workflow(phase: str) -> dict:
    bad = phase in start_workflow.BAD
    node = {
        "id": "n",
        "type": "Pod",
        "displayName": "build-app",
        "phase": phase,
        "message": "DiskFull: no room" if bad else "",
    }
    return {"status": {"phase": phase, "message": "child failed", "nodes": {"n": node, "g": {"type": "DAG"}}}}


class Start(unittest.TestCase):
    def run_with(self, cluster: Workflows, left: float = 60) -> list[str]:
        values = {
            "WORKFLOW_NAMESPACE": "argo",
            "TEMPLATE": "build-initial",
            "WORKFLOW_NAME": "build-initial-1",
        }
        step = mock.Mock(cluster=cluster, budget=mock.Mock(left=lambda: left))
        step.settings.text = values.__getitem__
        with mock.patch("time.sleep"), mock.patch("builtins.print"):
            start_workflow.main(step)
        return [made["metadata"]["name"] for made in cluster.created]

    def test_starts_a_template_and_follows_it(self):
        cluster = Workflows(["Pending", "Running", "Running", "Succeeded"])
        self.assertEqual(self.run_with(cluster), ["build-initial-1"])
        self.assertEqual(cluster.created[0]["spec"]["workflowTemplateRef"], {"name": "build-initial"})
        self.assertEqual(set(cluster.created[0]["spec"]), {"workflowTemplateRef", "arguments"})

    def test_what_ran_well_is_not_run_again(self):
        self.assertEqual(self.run_with(Workflows([], {"build-initial-1": "Succeeded"})), [])

    def test_what_failed_is_run_again_under_another_name(self):
        cluster = Workflows(["Succeeded"], {"build-initial-1": "Failed", "build-initial-1-2": "Error"})
        self.assertEqual(self.run_with(cluster), ["build-initial-1-3"])

    def test_what_runs_is_followed(self):
        cluster = Workflows([], {"build-initial-1": "Running"})
        with mock.patch.object(cluster, "get", side_effect=[workflow("Running"), workflow("Succeeded")]):
            self.assertEqual(self.run_with(cluster), [])

    def test_fails_with_the_words_of_the_step(self):
        with self.assertRaises(StepError) as caught:
            self.run_with(Workflows(["Running", "Failed"]))
        self.assertEqual(caught.exception.code, Code.WorkflowFailed)
        self.assertIn("build-app: DiskFull: no room", str(caught.exception))

    def test_gives_up_in_time(self):
        with self.assertRaises(StepError) as caught:
            self.run_with(Workflows(["Running"] * 3), left=0)
        self.assertIn("has not ended in time: build-app: Running", str(caught.exception))


class Tracking:
    """As much of MLflow's users and permissions as the script needs."""

    def __init__(self) -> None:
        self.users = {"admin": "root"}
        self.models: dict[str, str] = {}
        self.granted: dict[tuple[str, str], str] = {}
        self.away = 0

    def answer(self, method: str, path: str, login: str | None, values: dict) -> tuple[int, dict]:
        if self.away > 0:
            self.away -= 1
            return 503, {}
        name, _, password = login.partition(":")
        if self.users.get(name) != password:
            return 401, {}
        missing = (404, {"error_code": "RESOURCE_DOES_NOT_EXIST"})
        user, model = values.get("username", ""), values.get("name", "")
        if path.startswith("users/") and name != "admin":
            return 403, {}
        match (method, path):
            case ("GET", "users/get"):
                return (200, {}) if user in self.users else missing
            case ("POST", "users/create") | ("PATCH", "users/update-password"):
                self.users[user] = values["password"]
            case ("POST", "registered-models/create"):
                if model in self.models:
                    return 400, {"error_code": "RESOURCE_ALREADY_EXISTS"}
                self.models[model] = name
                self.granted[model, name] = "MANAGE"
            case ("GET", "registered-models/permissions/get"):
                known = self.granted.get((model, user))
                return (200, {"registered_model_permission": {"permission": known}}) if known else missing
            case ("POST", "registered-models/permissions/create"):
                self.granted[model, user] = values["permission"]
            case ("PATCH", "registered-models/permissions/update"):
                self.granted[model, user] = values["permission"]
        return 200, {}


class MlflowUser(unittest.TestCase):
    def setUp(self) -> None:
        spec = importlib.util.spec_from_file_location("mlflow_user", SCRIPT)
        self.script = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.script)
        self.tracking = tracking = Tracking()

        class Answering(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                import base64

                parts = urllib.parse.urlparse(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                values = json.loads(body) if body else dict(urllib.parse.parse_qsl(parts.query))
                login = base64.b64decode(self.headers["Authorization"].partition(" ")[2]).decode()
                path = parts.path.removeprefix("/api/2.0/mlflow/")
                status, found = tracking.answer(self.command, path, login, values)
                data = json.dumps(found).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_PATCH = do_GET

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.write("admin", "admin", "root")
        self.write("login", "pipeline", "p1")
        self.env = {
            "MLFLOW_URL": f"http://127.0.0.1:{server.server_port}/",
            "MODELS": "Food",
            "ADMIN": str(self.folder / "admin"),
            "LOGIN": str(self.folder / "login"),
        }

    def write(self, folder: str, username: str, password: str) -> None:
        path = self.folder / folder
        path.mkdir(exist_ok=True)
        (path / "username").write_text(username)
        (path / "password").write_text(password)

    def run_script(self) -> list[str]:
        with (
            mock.patch.dict(os.environ, self.env),
            mock.patch("builtins.print") as shown,
            mock.patch("time.sleep"),
        ):
            self.script.main()
        lines = [str(call.args[0]) for call in shown.call_args_list]
        self.assertNotIn("p1", " ".join(lines))
        return lines

    def test_makes_the_user_and_its_model(self):
        self.assertEqual(
            self.run_script(), ["made the user pipeline", "made the model Food", "pipeline is ready"]
        )
        self.assertEqual(self.tracking.users["pipeline"], "p1")
        self.assertEqual(self.tracking.models, {"Food": "pipeline"})

    def test_changes_nothing_the_second_time(self):
        self.run_script()
        self.assertEqual(self.run_script(), ["pipeline is ready"])

    def test_sets_another_password(self):
        self.run_script()
        self.write("login", "pipeline", "p2")
        self.assertIn("set the password of pipeline", self.run_script())
        self.assertEqual(self.tracking.users["pipeline"], "p2")

    def test_takes_over_a_model_of_somebody_else(self):
        self.tracking.models["Food"] = "eva"
        self.run_script()
        self.assertEqual(self.tracking.granted["Food", "pipeline"], "MANAGE")
        self.tracking.granted["Food", "pipeline"] = "READ"
        self.run_script()
        self.assertEqual(self.tracking.granted["Food", "pipeline"], "MANAGE")

    def test_waits_for_a_server_that_is_away_for_a_moment(self):
        self.tracking.away = 2
        self.run_script()

    def test_a_wrong_administrator(self):
        self.write("admin", "admin", "wrong")
        with self.assertRaises(SystemExit) as caught:
            self.run_script()
        self.assertIn("401", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
