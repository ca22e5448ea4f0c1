"""A stage in the cluster: what its Application asks for, what its pods run, and what they answer."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException

import web
from cluster import Cluster, Conflict, lookup
from errors import Code, StepError
from ledger import NOTHING, Running
from settings import CLASSES, Settings

# The parameters of the Application which promotions own. Nothing else writes them.
DIGEST_PARAMETER = "image.digest"
VERSION_PARAMETER = "modelVersion"
LOOK_SECONDS = 1.0
# A registry that restarts, a Git server that restarts: the kubelet and Argo CD try again by themselves.
PULL_GRACE_SECONDS = 30.0
COMPARE_GRACE_SECONDS = 60.0
# A new Service's endpoints reach every node within a second or two.
SMOKE_SECONDS = 30.0
PULL_PROBLEMS = frozenset({"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError"})
START_PROBLEMS = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "InvalidImageName",
        "RunContainerError",
    }
)
PULL_VERDICTS = ("not found", "MANIFEST_UNKNOWN", "manifest unknown", "InvalidImageName")


@dataclass(frozen=True)
class Progress:
    """
    How far a rollout is. `problem` and `grace` name what is wrong and for how long that may pass by itself.
    """

    done: bool
    waiting_for: str = ""
    problem: StepError | None = None
    grace: float = 0.0


class Stages:
    """Access to all stages of the environment."""

    def __init__(self, cluster: Cluster, settings: Settings, sleep=time.sleep, clock=time.monotonic):
        self.cluster = cluster
        self.settings = settings
        self.sleep = sleep
        self.clock = clock
        self.name = settings.text("APP_NAME")
        self.port = settings.text("APP_PORT")

    def namespace(self, stage: str) -> str:
        return f"{self.settings.text('STAGE_NAMESPACE_PREFIX')}{stage}"

    # What is asked for.

    def application_path(self, stage: str) -> str:
        namespace = self.settings.text("APPLICATION_NAMESPACE")
        return f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/applications/{self.namespace(stage)}"

    def application(self, stage: str) -> dict:
        found = self.cluster.get(self.application_path(stage))
        if found is None:
            raise StepError(Code.UnknownStage, f"there is no Application {self.namespace(stage)}")
        return found

    def wanted(self, stage: str) -> Running:
        """What the Application asks for now."""
        return parameters(lookup(self.application(stage), "spec", "source"))

    def set(self, stage: str, running: Running, may: Callable[[], bool] = lambda: True) -> None:
        """
        Lets the Application ask for a version. `may` is asked after the Application is read and before it is
        written, and the write fails when somebody wrote in between: a pod that was thought dead cannot undo
        what was settled without it.
        """
        for _ in range(20):
            application = self.application(stage)
            if not may():
                raise StepError(Code.Superseded, f"the change of {stage} was ended by another step")
            if parameters(lookup(application, "spec", "source")) == running:
                return
            version = lookup(application, "metadata", "resourceVersion")
            body = {
                "metadata": {"resourceVersion": version},
                "spec": {"source": {"helm": {"parameters": render_parameters(application, running)}}},
            }
            try:
                self.cluster.merge_patch(self.application_path(stage), body)
                return
            except Conflict:
                # Argo CD writes the status into the same object.
                self.sleep(0.1)
        raise StepError(
            Code.ClusterUnavailable, f"the Application of {stage} changes faster than it can be written"
        )

    # What runs.

    def deployment(self, stage: str) -> dict | None:
        return self.cluster.get(f"/apis/apps/v1/namespaces/{self.namespace(stage)}/deployments/{self.name}")

    def pods(self, stage: str) -> list[dict]:
        """Pods of the stage, without those that are about to end."""
        found = self.cluster.list(
            f"/api/v1/namespaces/{self.namespace(stage)}/pods", labelSelector=f"app={self.name}"
        )
        return [pod for pod in found if not lookup(pod, "metadata", "deletionTimestamp")]

    def wait_serving(self, stage: str, running: Running, patience: float, *, back: bool = False) -> None:
        """
        Until Argo CD has brought the version to the cluster and every pod runs exactly it and is ready. Ends
        early, by name, when that cannot come. `back`: a return to a version that ran before: the faults of
        its failed successor do not count.
        """
        deadline = self.clock() + patience
        since: dict[str, float] = {}
        progress = Progress(False)
        while True:
            progress = self.progress(stage, running, back=back)
            if progress.done:
                return
            problem = progress.problem
            if problem is not None:
                key = str(problem.code)
                since.setdefault(key, self.clock())
                if self.clock() - since[key] >= progress.grace:
                    raise problem
            else:
                since.clear()
            if self.clock() >= deadline:
                if problem is not None:
                    raise problem
                raise StepError(
                    Code.RolloutTimeout,
                    f"{stage} does not serve {running} within {patience:.0f} s: {progress.waiting_for}",
                )
            self.sleep(LOOK_SECONDS)

    def progress(self, stage: str, running: Running, *, back: bool = False) -> Progress:
        """One look at a rollout."""
        application = self.application(stage)
        deployment = self.deployment(stage)
        pods = self.pods(stage)
        if not back:
            failed = self.pod_problem(pods, running) or rollout_problem(deployment, running)
            if failed is not None:
                return failed
        missing = argo_missing(application, running, back=back)
        if missing is not None:
            return missing
        if running == NOTHING:
            return Progress(deployment is None, "the Deployment to be removed")
        lacking = deployment_missing(deployment, running) or pods_missing(pods, running)
        return Progress(lacking == "", lacking)

    def pod_problem(self, pods: list[dict], running: Running) -> Progress | None:
        """Why a pod of the wanted version will not start, None when there is no sign of that."""
        for pod in pods:
            if image_digest(pod) != running.digest:
                continue
            name = lookup(pod, "metadata", "name")
            for status in container_statuses(pod):
                waiting = lookup(status, "state", "waiting") or {}
                reason = str(lookup(waiting, "reason") or "")
                message = str(lookup(waiting, "message") or "")
                if killed_for_memory(status):
                    return Progress(
                        False, problem=StepError(Code.OOMKilled, f"{name} needs more memory than its limit")
                    )
                if reason in PULL_PROBLEMS:
                    final = any(word in message for word in PULL_VERDICTS)
                    problem = StepError(Code.ImagePullBackOff, f"{name}: {message or reason}")
                    return Progress(False, reason, problem, 0 if final else PULL_GRACE_SECONDS)
                if reason in START_PROBLEMS:
                    code = Code.CrashLoopBackOff if reason == "CrashLoopBackOff" else Code.RolloutFailed
                    detail = last_words(status) or message or reason
                    return Progress(False, reason, StepError(code, f"{name}: {detail}"))
        return None

    # What is answered.

    def address(self, stage: str) -> str:
        return f"http://{self.name}.{self.namespace(stage)}.svc.cluster.local:{self.port}"

    def ask(self, url: str, timeout: float = 15) -> web.Answer:
        """One question to the application, no repetition."""
        try:
            return web.once("GET", url, timeout=timeout)
        except (OSError, HTTPException) as error:
            raise StepError(Code.SmokeFailed, f"{url} does not answer: {web.describe(error)}") from error

    def live_version(self, address: str) -> str:
        answer = self.ask(f"{address}/version")
        if answer.status != 200:
            raise StepError(Code.SmokeFailed, f"{address}/version answers {answer.status}")
        return str(answer.json().get("model_version", ""))

    def pod_addresses(self, stage: str, running: Running) -> list[str]:
        found = [
            str(lookup(pod, "status", "podIP") or "")
            for pod in self.pods(stage)
            if image_digest(pod) == running.digest
        ]
        return [f"http://{f'[{ip}]' if ':' in ip else ip}:{self.port}" for ip in found if ip]

    def check_version(self, stage: str, running: Running) -> None:
        """
        Every pod and the Service say exactly this version. Raises WrongVersion, or SmokeFailed when nobody
        answers.
        """
        for address in [*self.pod_addresses(stage, running), self.address(stage)]:
            self.expect_version(address, self.live_version(address), running)

    def expect_version(self, address: str, said: str, running: Running) -> None:
        if said != running.version:
            raise StepError(
                Code.WrongVersion, f"{address}/version says {said!r}, expected {running.version!r}"
            )

    def check_class(self, stage: str) -> str:
        """`/test` gives one of the classes."""
        answer = self.ask(f"{self.address(stage)}/test", timeout=30)
        found = str(answer.json().get("class", ""))
        if answer.status != 200 or found not in CLASSES:
            raise StepError(
                Code.SmokeFailed,
                f"/test answers {answer.status} {found or answer.text()[:200]!r}, expected a class",
            )
        return found

    def smoke(
        self, stage: str, running: Running, patience: float = SMOKE_SECONDS, *, judged: bool = True
    ) -> None:
        """
        The stage answers as the version it is to be. Repeated for a while, as routes to new pods take a
        moment. `judged`: its answers are looked at, too; the first stage leaves that to its gates.
        """
        if running == NOTHING:
            return
        deadline = self.clock() + patience
        while True:
            try:
                self.check_version(stage, running)
                if judged:
                    self.check_class(stage)
                return
            except StepError:
                if self.clock() >= deadline:
                    raise
            self.sleep(LOOK_SECONDS)

    def serves(self, stage: str, running: Running) -> bool:
        """Whether the stage runs and answers exactly this, at this moment."""
        if not self.progress(stage, running).done:
            return False
        try:
            self.check_version(stage, running)
        except StepError:
            return False
        return True


def parameters(source: object) -> Running:
    """The version an Application's source asks for."""
    found = lookup(source, "helm", "parameters")
    values = {
        str(entry.get("name")): str(entry.get("value") or "")
        for entry in (found if isinstance(found, list) else [])
        if isinstance(entry, dict)
    }
    digest = values.get(DIGEST_PARAMETER, "")
    return Running(values.get(VERSION_PARAMETER, ""), digest) if digest else NOTHING


def render_parameters(application: dict, running: Running) -> list[dict]:
    """The parameters with ours set; those of others stay."""
    found = lookup(application, "spec", "source", "helm", "parameters")
    others = [
        entry
        for entry in (found if isinstance(found, list) else [])
        if lookup(entry, "name") not in (DIGEST_PARAMETER, VERSION_PARAMETER)
    ]
    ours = {DIGEST_PARAMETER: running.digest, VERSION_PARAMETER: running.version}
    if running == NOTHING:
        return others
    # As text: a version such as 1.10 is no number.
    return [*others, *({"name": name, "value": value, "forceString": True} for name, value in ours.items())]


def argo_missing(application: dict, running: Running, *, back: bool) -> Progress | None:
    """What Argo CD has not done yet, None when it has brought the version to the cluster."""
    if parameters(lookup(application, "spec", "source")) != running:
        problem = StepError(Code.Superseded, "somebody else changed what the Application asks for")
        return Progress(False, "the Application to ask for it", problem)
    operation = lookup(application, "status", "operationState") or {}
    phase = str(lookup(operation, "phase") or "")
    ours = parameters(lookup(operation, "syncResult", "source")) == running
    if phase == "Running" or lookup(application, "operation") is not None:
        return Progress(False, "Argo CD to end its synchronization")
    synced = (
        lookup(application, "status", "sync", "status") == "Synced"
        and parameters(lookup(application, "status", "sync", "comparedTo", "source")) == running
    )
    if synced and lookup(application, "status", "health", "status") in ("Healthy", "Suspended"):
        return None
    if back and synced:
        # Health of the pods themselves is judged below; the Application's includes what the failed version
        # left.
        return None
    if phase in ("Failed", "Error") and ours and not back:
        problem = StepError(Code.SyncFailed, f"Argo CD: {lookup(operation, 'message') or phase}")
        return Progress(False, "Argo CD to synchronize", problem, COMPARE_GRACE_SECONDS / 2)
    for condition in lookup(application, "status", "conditions") or []:
        if str(lookup(condition, "type") or "").endswith("Error"):
            problem = StepError(Code.SyncFailed, f"Argo CD: {lookup(condition, 'message')}")
            return Progress(False, "Argo CD to compare", problem, COMPARE_GRACE_SECONDS)
    return Progress(False, "Argo CD to report Healthy" if synced else "Argo CD to report Synced")


def rollout_problem(deployment: dict | None, running: Running) -> Progress | None:
    """Whether the Deployment itself gave up on the wanted version."""
    if deployment is None or template_digest(deployment) != running.digest or not observed(deployment):
        return None
    for condition in lookup(deployment, "status", "conditions") or []:
        if lookup(condition, "reason") == "ProgressDeadlineExceeded":
            problem = StepError(
                Code.RolloutFailed, f"progress deadline exceeded: {lookup(condition, 'message')}"
            )
            return Progress(False, problem=problem)
        if lookup(condition, "type") == "ReplicaFailure" and lookup(condition, "status") == "True":
            problem = StepError(
                Code.RolloutFailed, str(lookup(condition, "message") or "pods cannot be made")
            )
            return Progress(False, problem=problem, grace=PULL_GRACE_SECONDS)
    return None


def deployment_missing(deployment: dict | None, running: Running) -> str:
    """What the Deployment lacks, empty when its rollout is complete."""
    if deployment is None:
        return "the Deployment to be made"
    if template_digest(deployment) != running.digest:
        return "the Deployment to name the image"
    if not observed(deployment):
        return "the Deployment to be seen by its controller"
    wanted = lookup(deployment, "spec", "replicas")
    wanted = 1 if wanted is None else wanted
    status = lookup(deployment, "status") or {}
    counts = {
        name: lookup(status, name) or 0 for name in ("replicas", "updatedReplicas", "availableReplicas")
    }
    if wanted < 1 or any(count != wanted for count in counts.values()):
        return f"{wanted} replicas, has {', '.join(f'{count} {name}' for name, count in counts.items())}"
    return ""


def pods_missing(pods: list[dict], running: Running) -> str:
    """What the pods lack, empty when all run exactly the image and are ready."""
    if not pods:
        return "a pod"
    for pod in pods:
        name = lookup(pod, "metadata", "name")
        if image_digest(pod) != running.digest:
            return f"{name} of another version to end"
        if not is_ready(pod):
            return f"{name} to be ready"
    return ""


def template_digest(deployment: dict) -> str:
    return digest_of(str(lookup(deployment, "spec", "template", "spec", "containers", 0, "image") or ""))


def image_digest(pod: dict) -> str:
    """Digest in the pod's image name: the kubelet runs no other image under it."""
    return digest_of(str(lookup(pod, "spec", "containers", 0, "image") or ""))


def digest_of(reference: str) -> str:
    return reference.rpartition("@")[2] if "@" in reference else ""


def observed(found: dict) -> bool:
    return (lookup(found, "status", "observedGeneration") or 0) >= (
        lookup(found, "metadata", "generation") or 0
    )


def is_ready(pod: dict) -> bool:
    return any(
        lookup(condition, "type") == "Ready" and lookup(condition, "status") == "True"
        for condition in lookup(pod, "status", "conditions") or []
    )


def container_statuses(pod: dict) -> list[dict]:
    return [
        *(lookup(pod, "status", "initContainerStatuses") or []),
        *(lookup(pod, "status", "containerStatuses") or []),
    ]


def killed_for_memory(status: dict) -> bool:
    return any(
        lookup(status, state, "terminated", "reason") == "OOMKilled" for state in ("state", "lastState")
    )


def last_words(status: dict) -> str:
    """What a container said when it ended, with how it ended."""
    ended = lookup(status, "lastState", "terminated") or lookup(status, "state", "terminated")
    if not isinstance(ended, dict):
        return ""
    message = str(ended.get("message") or "").strip()
    return f"ended with {ended.get('exitCode')} {ended.get('reason') or ''} {message}".strip()
