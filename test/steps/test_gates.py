"""The gates, against an application that answers as one likes."""

import json
import unittest
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from unittest import mock

import gate_integration
import gate_load
import gate_resources
from cluster import Cluster
from errors import Code, StepError
from gate_load import Shot, Verdict, percentile, summarize
from gate_resources import quantity
from gates import Report
from ledger import Running
from pictures import COLOURS, form, picture
from settings import Settings
from stages import Stages

from fakes import digest, pod

GOOD = {
    "/version": (200, {"model_version": "1.0.7"}),
    "/test": (200, {"class": "Noodles/Pasta"}),
    "/predict": (200, {"class": "Egg"}),
    "/metrics": (200, "process_resident_memory_bytes 1.048576e+08\n"),
}
RUNNING = Running("1.0.7")


class Application(ThreadingHTTPServer):
    """Answers each path as told, and keeps what it was asked."""

    def __init__(self, answers: dict):
        super().__init__(("127.0.0.1", 0), Answering)
        self.answers = answers
        self.asked: list[tuple[str, bytes]] = []
        self.refused = 0


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.server.asked.append((self.path, self.rfile.read(length)))
        status, body = self.server.answers[self.path]
        if self.path == "/predict" and self.server.refused > 0:
            self.server.refused -= 1
            status = 503
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class OneStage(Stages):
    """The stage at an address of this machine."""

    def __init__(self, settings: Settings, cluster: Cluster, port: int):
        super().__init__(cluster, settings)
        self.port = str(port)

    def address(self, stage: str) -> str:
        return f"http://127.0.0.1:{self.port}"


class Objects(Cluster):
    def __init__(self, found: dict[str, list[dict] | dict]):
        super().__init__("http://cluster.example")
        self.found = found

    def get(self, path: str) -> dict | None:
        return self.found.get(path.rpartition("/")[2])

    def list(self, path: str, **_: str) -> list[dict]:
        found = self.found.get("metrics" if "metrics.k8s.io" in path else path.rpartition("/")[2])
        if found is None:
            raise StepError(Code.ClusterUnavailable, path)
        return found


class Told:
    """As much of a step as a gate uses."""

    def __init__(self, settings: Settings, stages: Stages):
        self.settings = settings
        self.stages = stages
        self.budget = mock.Mock(left=lambda: 60)


@contextmanager
def application(objects: dict | None = None, settings: dict | None = None, **changed: object):
    server = Application({**GOOD, **{f"/{path}": answer for path, answer in changed.items()}})
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    known = Settings(settings or {})
    try:
        yield Told(known, OneStage(known, Objects(objects or {}), server.server_port)), server
    finally:
        server.shutdown()
        server.server_close()


class Case(unittest.TestCase):
    def setUp(self) -> None:
        for target in ("time.sleep", "builtins.print"):
            patched = mock.patch(target)
            patched.start()
            self.addCleanup(patched.stop)
        short = mock.patch.object(gate_integration, "PATIENCE_SECONDS", 0.05)
        short.start()
        self.addCleanup(short.stop)

    def fails(self, code: Code, body, told: Told) -> Report:
        report = Report()
        with self.assertRaises(StepError) as caught:
            body(told, "staging", RUNNING, report)
        self.assertEqual(caught.exception.code, code, caught.exception)
        return report


class Pictures(Case):
    def test_are_five_different_ones(self):
        found = {picture(colour) for colour in COLOURS}
        self.assertEqual(len(found), 5)
        for data in found:
            self.assertTrue(data.startswith(b"\x89PNG") and data.endswith(b"IEND\xaeB`\x82"))

    def test_form(self):
        body, headers = form(b"\r\n--x")
        boundary = headers["Content-Type"].partition("boundary=")[2]
        self.assertTrue(body.startswith(f"--{boundary}\r\n".encode()))
        self.assertTrue(body.endswith(f"\r\n--x\r\n--{boundary}--\r\n".encode()))
        self.assertIn(b'name="file"', body)


class Integration(Case):
    def test_passes(self):
        report = Report()
        with application() as (told, server):
            gate_integration.body(told, "staging", RUNNING, report)
        self.assertEqual(report.found["predictions"], ["Egg"] * 5)
        sent = [body for path, body in server.asked if path == "/predict"]
        self.assertEqual(len({body[200:] for body in sent}), 5)

    def test_fails(self):
        wrong = {
            Code.WrongVersion: {"version": (200, {"model_version": "1.0.70"})},
            Code.SmokeFailed: {"test": (200, {"class": "Pizza"})},
            Code.GateFailed: {"predict": (500, {"error": "shape"})},
        }
        for code, answer in wrong.items():
            with self.subTest(code), application(**answer) as (told, _):
                self.fails(code, gate_integration.body, told)
        with application(predict=(200, {"class": "Bread, Egg"})) as (told, _):
            self.fails(Code.GateFailed, gate_integration.body, told)

    def test_nobody_answers(self):
        with application() as (told, _):
            pass
        self.fails(Code.SmokeFailed, gate_integration.body, told)


def found_pod(name: str = "new", owner: str = "set-2", **changed: object) -> dict:
    made = pod(name, digest(7), "127.0.0.1", ready=True)
    made["metadata"]["ownerReferences"] = [{"name": owner}]
    made["spec"]["containers"][0]["resources"] = {"limits": {"memory": "200Mi"}}
    made["status"]["containerStatuses"][0].update(changed)
    return made


def objects(*pods: dict, **more: object) -> dict:
    revision = {"deployment.kubernetes.io/revision": "2"}
    image = f"registry.example/app@{digest(7)}"
    return {
        "gourmetgram-app": {
            "metadata": {"uid": "u", "annotations": revision},
            "spec": {"template": {"spec": {"containers": [{"image": image}]}}},
        },
        "replicasets": [
            {"metadata": {"name": "set-2", "annotations": revision, "ownerReferences": [{"uid": "u"}]}},
            {
                "metadata": {
                    "name": "set-1",
                    "annotations": {"deployment.kubernetes.io/revision": "1"},
                    "ownerReferences": [{"uid": "u"}],
                }
            },
        ],
        "pods": list(pods),
        "metrics": [],
        **more,
    }


class Resources(Case):
    def start(self, found: dict, **changed: object) -> Report:
        report = Report()
        with application(found, **changed) as (told, _):
            gate_resources.body(told, "staging", RUNNING, report)
        return report

    def refuse(self, code: Code, found: dict, **changed: object) -> None:
        with application(found, **changed) as (told, _):
            self.fails(code, gate_resources.body, told)

    def test_passes(self):
        report = self.start(objects(found_pod()))
        expected = {"pod": "new", "ready": True, "restarts": 0, "memory": 104857600, "limit": 209715200}
        self.assertEqual(report.found["pods"], [{**expected, "fraction": 0.5}])

    def test_an_older_set_does_not_count(self):
        old = found_pod("old", "set-1", restartCount=9)
        self.start(objects(found_pod(), old))
        self.refuse(Code.PodsNotReady, objects(old))

    def test_ending_pods_do_not_count(self):
        ending = found_pod("ending", restartCount=2)
        ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        self.start(objects(found_pod(), ending))

    def test_fails(self):
        killed = {"terminated": {"reason": "OOMKilled"}}
        for field in ("state", "lastState"):
            self.refuse(Code.OOMKilled, objects(found_pod(), found_pod("b", **{field: killed})))
        self.refuse(Code.PodsRestarted, objects(found_pod(restartCount=1)))
        unready = found_pod()
        unready["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
        self.refuse(Code.PodsNotReady, objects(unready))
        unlimited = found_pod()
        unlimited["spec"]["containers"][0]["resources"] = {}
        self.refuse(Code.TooMuchMemory, objects(unlimited))
        self.refuse(Code.GateFailed, objects(found_pod()), metrics=(200, "up 1\n"))

    def test_memory_from_the_application_or_the_metrics_api(self):
        self.refuse(
            Code.TooMuchMemory, objects(found_pod()), metrics=(200, "process_resident_memory_bytes 1.8e8\n")
        )
        sample = [{"metadata": {"name": "new"}, "containers": [{"usage": {"memory": "174080Ki"}}]}]
        self.refuse(Code.TooMuchMemory, objects(found_pod(), metrics=sample))
        # Exactly the fraction is too much, a byte less is not.
        just = objects(
            found_pod(), metrics=[{**sample[0], "containers": [{"usage": {"memory": "174079Ki"}}]}]
        )
        self.start(just)

    def test_without_a_metrics_api(self):
        found = objects(found_pod())
        del found["metrics"]
        self.start(found)

    def test_quantities(self):
        known = {"512Mi": 2**29, "1Gi": 2**30, "100M": 1e8, "128974848": 128974848, "1500m": 1.5, "2e3": 2000}
        for text, size in known.items():
            self.assertEqual(quantity(text), size)
        self.assertIsNone(quantity(""))
        self.assertIsNone(quantity("12Qi"))


SETTINGS = {"LOAD_REQUESTS": "20", "LOAD_CONCURRENCY": "4", "LOAD_P95_MS": "2000", "LOAD_SUCCESS": "0.95"}


class Load(Case):
    def test_passes(self):
        report = Report()
        with application(settings=SETTINGS) as (told, server):
            gate_load.body(told, "staging", RUNNING, report)
        self.assertEqual((report.found["requests"], report.found["success"]), (20, 1.0))
        self.assertEqual(sum(path == "/predict" for path, _ in server.asked), 20)

    def test_more_than_the_fraction_must_succeed(self):
        with application(settings=SETTINGS) as (told, server):
            server.refused = 1
            self.fails(Code.TooManyErrors, gate_load.body, told)
        with application(settings={**SETTINGS, "LOAD_REQUESTS": "40"}) as (told, server):
            server.refused = 1
            gate_load.body(told, "staging", RUNNING, Report())

    def test_ends_early_when_the_outcome_is_certain(self):
        with application(settings={**SETTINGS, "LOAD_REQUESTS": "400"}, predict=(500, {})) as (told, _):
            report = self.fails(Code.TooManyErrors, gate_load.body, told)
        self.assertLess(report.found["requests"], 60)

    def test_too_slow(self):
        fast = mock.patch.object(gate_load, "predict", lambda *_, **__: "Egg")
        with application(settings={**SETTINGS, "LOAD_P95_MS": "0.001"}) as (told, _), fast:
            self.fails(Code.TooSlow, gate_load.body, told)

    def test_another_version(self):
        with application(settings=SETTINGS, version=(200, {"model_version": "1.0.6"})) as (told, _):
            self.fails(Code.WrongVersion, gate_load.body, told)

    def test_percentiles_are_nearest_ranks(self):
        ordered = [float(number) for number in range(1, 101)]
        self.assertEqual([percentile(ordered, part) for part in (0.5, 0.9, 0.95, 0.99)], [50, 90, 95, 99])
        self.assertEqual(percentile([7.0], 0.95), 7.0)
        self.assertEqual(percentile([1.0, 2.0], 0.95), 2.0)

    def test_summary(self):
        found = summarize([Shot(0.1)] * 94 + [Shot(3.0)] * 4 + [Shot(0.2, "a")] * 2, 5.0)
        self.assertEqual(
            (found["success"], found["p95"], found["max"], found["problems"]), (0.98, 200, 3000, {"a": 2})
        )

    def test_verdict(self):
        verdict = Verdict(100, 2.0, 0.95)
        for _ in range(5):
            verdict.note(Shot(2.0))
        self.assertFalse(verdict.is_certain)
        verdict.note(Shot(2.0))
        self.assertTrue(verdict.is_certain)


if __name__ == "__main__":
    unittest.main()
