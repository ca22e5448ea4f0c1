"""A cluster, a model registry and an image registry that live in memory, and die at any write one likes."""

import json
import re
import tempfile
import urllib.parse
from copy import deepcopy
from http.client import HTTPException
from pathlib import Path
from unittest import mock

import ledger as book
import web
from cluster import Cluster, Conflict
from errors import Code, StepError
from images import Images
from ledger import NOTHING, Entry, Ledger, Running
from mlflow_registry import ModelRegistry
from settings import Settings
from stages import Stages, parameters
from step import Step

STAGES = ("staging", "canary", "production")
SETTINGS = {
    "REGISTRY": "registry.example:5000",
    "MLFLOW_TRACKING_URI": "http://mlflow.example:8000",
    "ROLLOUT_SECONDS": "20",
    "STEP_DEADLINE_SECONDS": "120",
    "REQUESTED_BY": "eva",
}


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def version(number: int) -> Running:
    """Version 1.0.N with its image."""
    return Running(f"1.0.{number}", digest(number + 1))


class Killed(BaseException):
    """The pod is gone, as after kill -9."""


class World:
    """Everything outside of the steps."""

    def __init__(self, stages: tuple[str, ...] = STAGES):
        self.names = stages
        self.now = 1000.0
        self.nanoseconds = 1_700_000_000_000_000_000
        self.effects: list[str] = []
        # Effect at which the pod dies, and whether the effect still happens.
        self.kill_at: int | None = None
        self.kill_after = False
        # Services that do not answer: "mlflow", "registry", "kubernetes".
        self.down: set[str] = set()
        # digest -> how its pods behave: crash, oom, pull, pending, mute, classless, liar.
        self.behaviour: dict[str, str] = {}
        self.versions: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.models = {str(number) for number in range(1, 30)}
        self.aliases: dict[str, str] = {}
        self.entries: dict[str, dict] = {}
        self.applications = {stage: new_application(stage) for stage in stages}
        self.deployed: dict[str, Running] = dict.fromkeys(stages, NOTHING)
        # What serves, and what tries to.
        self.serving: dict[str, Running] = dict.fromkeys(stages, NOTHING)
        self.trying: dict[str, Running | None] = dict.fromkeys(stages)
        self.on_sleep = lambda: None

    # What tests arrange.

    def know(self, *numbers: int) -> None:
        """Images that were built."""
        for number in numbers:
            running = version(number)
            self.versions[running.digest] = running.version
            self.tags[f"app-{running.version}"] = running.digest

    def run(self, stage: str, *numbers: int) -> None:
        """A stage with a past, the last of which it serves."""
        self.know(*numbers)
        before = NOTHING
        for number in numbers:
            self.write(stage, book.DEPLOYED, version(number), before)
            before = version(number)
        names = [f"1.0.{number}" for number in numbers]
        self.applications[stage]["spec"]["source"]["helm"]["parameters"] = render(before)
        self.deployed[stage] = self.serving[stage] = before
        self.settle_argo(stage)
        for alias, at in ((stage, -1), (f"{stage}-previous", -2)):
            if len(names) >= -at and names[at] != "1.0.0":
                self.aliases[alias] = names[at].rpartition(".")[2]

    def write(self, stage: str, action: str, to: Running, origin: Running = NOTHING, **fields: str) -> None:
        values = {"change": f"past-{len(self.entries)}", **fields}
        self.ledger.append(Entry(stage=stage, action=action, origin=origin, to=to, **values))
        self.effects.clear()

    # What tests look at.

    @property
    def ledger(self) -> Ledger:
        return Ledger(FakeCluster(self), "argo", clock=self.tick_nanoseconds)

    def actions(self, stage: str) -> list[str]:
        return [entry.action for entry in self.ledger.entries(stage)]

    def last(self, stage: str) -> Entry:
        return self.ledger.entries(stage)[-1]

    def wanted(self, stage: str) -> Running:
        return parameters(self.applications[stage]["spec"]["source"])

    # How time goes by.

    def tick_nanoseconds(self) -> int:
        self.nanoseconds += 1_000_000
        return self.nanoseconds

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0.01)
        for stage in self.names:
            self.reconcile(stage)
        self.on_sleep()

    def reconcile(self, stage: str) -> None:
        """One round of Argo CD and the Deployment controller."""
        wanted = self.wanted(stage)
        if self.deployed[stage] != wanted:
            self.deployed[stage] = wanted
            self.trying[stage] = wanted
            self.settle_argo(stage, health="Progressing")
            return
        trying = self.trying[stage]
        if trying is not None:
            behaviour = self.behaviour.get(trying.digest, "good")
            if behaviour in ("good", "mute", "classless", "liar") or trying == self.serving[stage]:
                self.serving[stage] = trying
                self.trying[stage] = None
        self.settle_argo(stage, health="Healthy" if self.trying[stage] is None else "Progressing")

    def settle_argo(self, stage: str, health: str = "Healthy") -> None:
        application = self.applications[stage]
        source = deepcopy(application["spec"]["source"])
        application["status"] = {
            "sync": {"status": "Synced", "comparedTo": {"source": source}},
            "health": {"status": health},
            "operationState": {"phase": "Succeeded", "syncResult": {"source": source}},
        }
        self.touch(stage)

    def touch(self, stage: str) -> None:
        metadata = self.applications[stage]["metadata"]
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)

    def effect(self, name: str):
        """Marks a write; the pod dies before or after the one that was chosen."""
        return Effect(self, name)

    def answer(self, service: str) -> None:
        if service in self.down:
            codes = {
                "mlflow": Code.MLflowUnavailable,
                "registry": Code.RegistryUnavailable,
                "kubernetes": Code.ClusterUnavailable,
            }
            raise StepError(codes[service], "does not answer")

    def pods(self, stage: str) -> list[dict]:
        found = []
        if self.serving[stage] != NOTHING and self.deployed[stage] != NOTHING:
            found.append(pod(f"{stage}-old", self.serving[stage].digest, self.address(stage), ready=True))
        trying = self.trying[stage]
        if trying is not None and trying not in (NOTHING, self.serving[stage]):
            found.append(broken_pod(f"{stage}-new", trying.digest, self.behaviour.get(trying.digest, "good")))
        return found

    def address(self, stage: str) -> str:
        return f"10.0.0.{1 + self.names.index(stage)}"

    def http(self, method: str, url: str, **_: object) -> web.Answer:
        """The applications of all stages."""
        parts = urllib.parse.urlparse(url)
        known = {name: (f".gourmetgram-{name}.", f"//{self.address(name)}:") for name in self.names}
        stage = next(name for name, parts_of in known.items() if any(part in url for part in parts_of))
        running = self.serving[stage]
        behaviour = self.behaviour.get(running.digest, "good")
        if running == NOTHING or behaviour == "mute":
            raise HTTPException("nobody answers")
        if parts.path == "/version":
            said = "1.0.99" if behaviour == "liar" else self.versions[running.digest]
            return web.Answer(200, json.dumps({"model_version": said}).encode())
        if behaviour == "classless":
            return web.Answer(500, b'{"error": "the model does not take pictures"}')
        return web.Answer(200, b'{"class": "Bread"}')

    # How steps run.

    def step(self, **values: str) -> "FakeStep":
        return FakeStep(self, values)

    def start(self, main, **values: str) -> dict[str, str]:
        """Runs a step to its end, or to its death; returns its outputs. A StepError is raised."""
        step = self.step(**values)
        with (
            mock.patch.object(web, "once", self.http),
            mock.patch("time.sleep", self.sleep),
            mock.patch("time.monotonic", lambda: self.now),
            mock.patch("builtins.print"),
        ):
            try:
                main(step)
                return step.outputs
            finally:
                step.folder.cleanup()


class Effect:
    def __init__(self, world: World, name: str):
        self.world = world
        self.name = name

    def __enter__(self) -> None:
        self.dies = self.world.kill_at == len(self.world.effects)
        self.world.effects.append(self.name)
        if self.dies and not self.world.kill_after:
            raise Killed

    def __exit__(self, kind, *_: object) -> None:
        if kind is None and self.dies:
            raise Killed


class FakeStep(Step):
    def __init__(self, world: World, values: dict[str, str]):
        self.folder = tempfile.TemporaryDirectory()
        known = {**SETTINGS, "STAGES": ",".join(world.names), "OUTPUTS": self.folder.name, "WORKFLOW": "wf"}
        with mock.patch("time.monotonic", lambda: world.now):
            super().__init__(Settings({**known, **values}))
        self.world = world
        self.budget.clock = lambda: world.now
        self.cluster = FakeCluster(world)
        self.ledger = world.ledger
        self.stages = Stages(self.cluster, self.settings, sleep=world.sleep, clock=lambda: world.now)

    @property
    def models(self) -> ModelRegistry:
        return FakeModels(self.world)

    @property
    def images(self) -> Images:
        return FakeImages(self.world)

    @property
    def outputs(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in Path(self.folder.name).iterdir()}


class FakeCluster(Cluster):
    def __init__(self, world: World):
        super().__init__("http://cluster.example")
        self.world = world

    def get(self, path: str) -> dict | None:
        self.world.answer("kubernetes")
        if "/ledgerentries/" in path:
            return deepcopy(self.world.entries.get(path.rpartition("/")[2]))
        stage = re.search(r"gourmetgram-(staging|canary|production)", path).group(1)
        if "/applications/" in path:
            return deepcopy(self.world.applications.get(stage))
        if "/deployments/" in path:
            running = self.world.deployed[stage]
            complete = self.world.trying[stage] is None
            return None if running == NOTHING else deployment(running.digest, complete)
        raise AssertionError(path)

    def list(self, path: str, **query: str) -> list[dict]:
        self.world.answer("kubernetes")
        if path.endswith("/ledgerentries"):
            stage = query["fieldSelector"].partition("=")[2]
            return [
                deepcopy(entry) for entry in self.world.entries.values() if entry["spec"]["stage"] == stage
            ]
        stage = re.search(r"gourmetgram-(staging|canary|production)", path).group(1)
        if path.endswith("/pods"):
            return self.world.pods(stage)
        raise AssertionError(path)

    def create(self, path: str, body: dict) -> dict:
        self.world.answer("kubernetes")
        assert path.endswith("/ledgerentries"), path
        name = body["metadata"]["name"]
        with self.world.effect(f"ledger {body['spec']['stage']} {body['spec']['action']}"):
            if name in self.world.entries:
                raise Conflict
            self.world.entries[name] = deepcopy(body)
        return body

    def merge_patch(self, path: str, body: dict) -> dict:
        self.world.answer("kubernetes")
        stage = re.search(r"/applications/gourmetgram-(\w+)$", path).group(1)
        application = self.world.applications[stage]
        wanted = body["metadata"]["resourceVersion"]
        with self.world.effect(f"patch {stage}"):
            if wanted != application["metadata"]["resourceVersion"]:
                raise Conflict
            assert set(body) == {"metadata", "spec"} and set(body["spec"]["source"]["helm"]) == {"parameters"}
            application["spec"]["source"]["helm"]["parameters"] = body["spec"]["source"]["helm"]["parameters"]
            self.world.touch(stage)
        return application


class FakeModels(ModelRegistry):
    def __init__(self, world: World):
        super().__init__("http://mlflow.example", "model", "pipeline", "secret")
        self.world = world

    def _call(self, method: str, path: str, values: dict[str, str]) -> dict | None:
        world = self.world
        world.answer("mlflow")
        if path == "registered-models/get":
            found = [{"alias": alias, "version": number} for alias, number in world.aliases.items()]
            return {"registered_model": {"aliases": found}}
        if path == "model-versions/get":
            return {"model_version": {"status": "READY"}} if values["version"] in world.models else None
        assert path == "registered-models/alias", path
        with world.effect(f"alias {values['alias']}"):
            if method == "DELETE":
                world.aliases.pop(values["alias"], None)
            elif values["version"] in world.models:
                world.aliases[values["alias"]] = values["version"]
            else:
                return None
        return {}


class FakeImages(Images):
    def __init__(self, world: World):
        super().__init__("registry.example:5000/gourmetgram-app")
        self.world = world

    def _crane(self, *arguments: str) -> str | None:
        self.world.answer("registry")
        if arguments[0] == "digest":
            return self.world.tags.get(arguments[1].rpartition(":")[2])
        assert arguments[0] == "tag"
        wanted = arguments[1].rpartition("@")[2]
        if wanted not in self.world.versions:
            return None
        with self.world.effect(f"tag {arguments[2]}"):
            self.world.tags[arguments[2]] = wanted
        return ""


def new_application(stage: str) -> dict:
    return {
        "metadata": {"name": f"gourmetgram-{stage}", "resourceVersion": "1"},
        "spec": {"source": {"helm": {"parameters": [], "valuesObject": {"stage": stage}}}},
        "status": {},
    }


def render(running: Running) -> list[dict]:
    if running == NOTHING:
        return []
    pairs = (("image.digest", running.digest), ("modelVersion", running.version))
    return [{"name": name, "value": value, "forceString": True} for name, value in pairs]


def deployment(image: str, complete: bool) -> dict:
    return {
        "metadata": {"generation": 1, "uid": "deployment-uid"},
        "spec": {
            "replicas": 1,
            "template": {
                "spec": {"containers": [{"image": f"registry.example:5000/gourmetgram-app@{image}"}]}
            },
        },
        "status": {
            "observedGeneration": 1,
            "replicas": 1 if complete else 2,
            "updatedReplicas": 1,
            "availableReplicas": 1,
        },
    }


def pod(name: str, image: str, ip: str = "", *, ready: bool = False, status: dict | None = None) -> dict:
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"image": f"registry.example:5000/gourmetgram-app@{image}"}]},
        "status": {
            "podIP": ip,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [status or {"restartCount": 0, "state": {"running": {}}}],
        },
    }


def broken_pod(name: str, image: str, behaviour: str) -> dict:
    waiting = {
        "crash": {"reason": "CrashLoopBackOff", "message": "back-off"},
        "pull": {"reason": "ImagePullBackOff", "message": "registry: not found"},
        "slow-pull": {"reason": "ErrImagePull", "message": "connection refused"},
    }
    state = {"waiting": waiting[behaviour]} if behaviour in waiting else {"running": {}}
    status: dict = {"restartCount": 1, "state": state}
    if behaviour == "oom":
        status["lastState"] = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
    return pod(name, image, status=status)
