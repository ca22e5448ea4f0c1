"""The parts the steps stand on: HTTP, Git, images, builds, settings, errors, the ledger's order."""

import base64
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from unittest import mock

import builder
import check_code
import command
import ledger as book
import settings as known_settings
import tag_development
import web
from builder import Build
from cluster import Cluster, Conflict
from command import Ended
from errors import LONGEST_MESSAGE, Code, StepError
from images import Images
from ledger import NOTHING, Entry, Ledger
from mlflow_registry import ModelRegistry
from repository import Repository
from settings import Settings, model_version_of, version_of

from fakes import World, version

STEPS = Path(command.__file__).parent


class Case(unittest.TestCase):
    def refused(self, code: Code, function, *arguments, **values) -> StepError:
        with self.assertRaises(StepError) as caught:
            function(*arguments, **values)
        self.assertEqual(caught.exception.code, code, caught.exception)
        return caught.exception

    def folder(self) -> Path:
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        return Path(made.name)

    def program(self, name: str, text: str) -> None:
        """A program of that name, found before any other."""
        folder = self.folder()
        path = folder / name
        path.write_text(text)
        path.chmod(0o755)
        changed = mock.patch.dict(os.environ, {"PATH": f"{folder}:{os.environ['PATH']}"})
        changed.start()
        self.addCleanup(changed.stop)

    def serve(self, answer) -> str:
        """A server whose answers `answer(method, path, headers, body)` makes; returns its address."""

        class Answering(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, data = answer(self.command, self.path, self.headers, body)
                data = data if isinstance(data, bytes) else json.dumps(data).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_PATCH = do_DELETE = do_GET

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return f"http://127.0.0.1:{server.server_port}"


class Errors(Case):
    def test_hold_no_login_and_are_short(self):
        error = StepError(Code.GitUnavailable, "https://me:pa%20ss@git.example/x.git\n" + "y" * 5000)
        self.assertNotIn("pa%20ss", str(error))
        self.assertIn("https://git.example/x.git", str(error))
        self.assertLessEqual(len(error.message), LONGEST_MESSAGE)
        self.assertNotIn("\n", str(error))


class SettingsOfSteps(Case):
    def test_versions(self):
        self.assertEqual(
            [version_of(text) for text in ("", "0", "7", "1.0.7", "1.0.0")],
            ["1.0.0"] * 2 + ["1.0.7"] * 2 + ["1.0.0"],
        )
        self.assertEqual([model_version_of(text) for text in ("", "1.0.0", "1.0.12")], [None, None, "12"])
        for wrong in ("latest", "07", "-1", "1.0.07", "1.1.1", "7; id"):
            self.refused(Code.MissingModelVersion, version_of, wrong)

    def test_branches(self):
        for right in ("main", "mlops-bad/arch", "v1.2"):
            self.assertEqual(known_settings.check_branch(right), right)
        for wrong in ("--upload-pack=id", "a..b", "a b", "", "x/", "x.lock", "$(id)"):
            self.refused(Code.UnknownBranch, known_settings.check_branch, wrong)

    def test_stages_keep_their_order(self):
        self.assertEqual(Settings({"STAGES": "production,staging"}).stages, ("staging", "production"))
        self.refused(Code.InvalidSetting, lambda: Settings({"STAGES": "qa"}).stages)

    def test_all_missing_ones_are_named(self):
        error = self.refused(Code.InvalidSetting, Settings({"B": "x"}).require, "A", "B", "C")
        self.assertIn("A, C", str(error))
        self.refused(Code.InvalidSetting, Settings({"X": "-2"}).number, "X")
        self.refused(Code.InvalidSetting, Settings({"X": "2.5"}).whole, "X")


class Web(Case):
    def test_repeats_what_may_pass(self):
        answers = iter([(503, {}), (429, {}), (200, {"a": 1})])
        address = self.serve(lambda *_: next(answers))
        with mock.patch("time.sleep"):
            self.assertEqual(web.call("GET", address, Code.MLflowUnavailable).json(), {"a": 1})

    def test_gives_up_by_name(self):
        address = self.serve(lambda *_: (500, {}))
        error = self.refused(
            Code.MLflowUnavailable,
            web.call,
            "GET",
            f"{address}/x?token=abc",
            Code.MLflowUnavailable,
            patience=0.1,
        )
        self.assertNotIn("abc", str(error))
        self.refused(
            Code.MLflowUnavailable, web.call, "GET", "http://127.0.0.1:9", Code.MLflowUnavailable, patience=0
        )

    def test_leaves_other_answers_to_the_caller(self):
        address = self.serve(lambda *_: (404, {"message": "no"}))
        self.assertEqual(web.call("GET", address, Code.MLflowUnavailable).status, 404)


class ClusterApi(Case):
    def cluster(self, answer) -> Cluster:
        account = self.folder()
        (account / "token").write_text("secret-token\n")
        return Cluster(self.serve(answer), account, patience=0.1)

    def test_sends_the_token_and_reads_all_pages(self):
        seen = []

        def answer(method, path, headers, body):
            seen.append((method, path, headers["Authorization"]))
            token = {} if "continue=x" in path else {"continue": "x"}
            return 200, {"metadata": token, "items": [{"n": len(seen)}]}

        found = self.cluster(answer).list("/api/v1/pods", labelSelector="app=a")
        self.assertEqual(found, [{"n": 1}, {"n": 2}])
        self.assertEqual({entry[2] for entry in seen}, {"Bearer secret-token"})
        self.assertIn("labelSelector=app%3Da", seen[1][1])

    def test_refusals_by_name(self):
        answers = {401: Code.AccessDenied, 403: Code.AccessDenied, 422: Code.ClusterUnavailable}
        for status, code in answers.items():
            error = self.refused(
                code, self.cluster(lambda *_, s=status: (s, {"message": "because"})).get, "/x"
            )
            self.assertIn("because", str(error))
        self.assertIsNone(self.cluster(lambda *_: (404, {})).get("/x"))
        with self.assertRaises(Conflict):
            self.cluster(lambda *_: (409, {})).create("/x", {})

    def test_no_account(self):
        self.refused(Code.AccessDenied, Cluster("http://127.0.0.1:9", self.folder()).get, "/x")


class LedgerOrder(Case):
    def entries(self, *pairs: tuple[str, int]) -> list[Entry]:
        return [
            Entry(
                "staging",
                action,
                f"c{index}",
                to=version(number) if number >= 0 else NOTHING,
                name=f"staging-{index}",
            )
            for index, (action, number) in enumerate(pairs)
        ]

    def test_history(self):
        found = self.entries(
            (book.DEPLOYED, 1),
            (book.STARTED, 2),
            (book.FAILED, 2),
            (book.DEPLOYED, 2),
            (book.DEPLOYED, 2),
            (book.APPROVED, 2),
            (book.DEPLOYED, 3),
            (book.REVERTED, 2),
            (book.DEPLOYED, 4),
            (book.REVERTED, 1),
        )
        versions = [running.version for running in book.history(found)]
        self.assertEqual(versions, ["1.0.1"])
        self.assertEqual(book.current(found[:8]), version(2))
        self.assertEqual(book.previous(found[:8]), version(1))
        self.assertEqual(book.history(self.entries((book.DEPLOYED, 1), (book.REVERTED, -1))), [])

    def test_a_change_id_may_be_used_again(self):
        same = {"change": "wf.staging"}
        rows = (book.STARTED, book.FAILED, book.STARTED)
        found = [
            Entry("staging", action, name=f"staging-{index}", **same) for index, action in enumerate(rows)
        ]
        self.assertEqual(book.unfinished(found), [found[2]])
        self.assertEqual(book.unfinished(found[:2]), [])

    def test_entries_follow_each_other_whatever_the_clock_says(self):
        world = World()
        ledger = Ledger(world.ledger.cluster, "argo", clock=lambda: 50)
        names = [ledger.append(Entry("staging", book.STARTED, "c")).name for _ in range(3)]
        self.assertEqual(names, ["staging-50", "staging-51", "staging-52"])

    def test_an_entry_whose_answer_was_lost_is_written_once(self):
        world = World()
        cluster = world.ledger.cluster
        create = cluster.create

        def lost(path: str, body: dict) -> dict:
            create(path, body)
            raise Conflict

        cluster.create = lost
        ledger = Ledger(cluster, "argo", clock=lambda: 7)
        ledger.append(Entry("staging", book.DEPLOYED, "c"))
        self.assertEqual(list(world.entries), ["staging-7"])

    def test_times_have_microseconds(self):
        body = book.render(
            Entry("staging", book.FROZEN, "c", name="staging-1"), "argo", 1_700_000_000_123_456_789
        )
        self.assertEqual(body["spec"]["at"], "2023-11-14T22:13:20.123457Z")


class Mlflow(Case):
    def registry(self, answer, patience: float = 0.1) -> ModelRegistry:
        return ModelRegistry(self.serve(answer), "Food", "pipeline", "pa:ss", patience)

    def test_aliases_change_only_where_they_must(self):
        written = []

        def answer(method, path, headers, body):
            self.assertEqual(
                headers["Authorization"], f"Basic {base64.b64encode(b'pipeline:pa:ss').decode()}"
            )
            if method == "GET":
                aliases = [{"alias": "staging", "version": "4"}, {"alias": "gone", "version": "1"}]
                return 200, {"registered_model": {"aliases": aliases}}
            written.append((method, json.loads(body)))
            return 200, {}

        models = self.registry(answer)
        changed = models.set_aliases({"staging": "4", "canary": "3", "gone": None, "never": None})
        self.assertEqual(changed, {"canary": "3", "gone": None})
        self.assertEqual(
            written,
            [
                ("POST", {"name": "Food", "alias": "canary", "version": "3"}),
                ("DELETE", {"name": "Food", "alias": "gone"}),
            ],
        )

    def test_a_model_that_is_not_registered(self):
        missing = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Registered Model not found"}
        models = self.registry(lambda *_: (404, missing))
        self.assertEqual(models.aliases(), {})
        self.assertEqual(models.set_aliases({"staging": None}), {})
        self.refused(Code.MissingModelVersion, models.set_aliases, {"staging": "3"})
        self.refused(Code.MissingModelVersion, models.check_version, "3")

    def test_faults_by_name(self):
        self.refused(Code.AccessDenied, self.registry(lambda *_: (401, b"")).aliases)
        self.refused(Code.MLflowUnavailable, self.registry(lambda *_: (503, b"")).aliases)
        pending = {"model_version": {"status": "PENDING_REGISTRATION"}}
        self.refused(Code.MissingModelVersion, self.registry(lambda *_: (200, pending)).check_version, "1")

    def download(
        self, files: dict[str, list[dict]], data=(200, b"onnx"), uri="mlflow-artifacts:/1/models/m/artifacts"
    ):
        def answer(method, path, headers, body):
            parts = urllib.parse.urlparse(path)
            if parts.path.endswith("model-versions/get"):
                return 200, {"model_version": {"status": "READY"}}
            if parts.path.endswith("get-download-uri"):
                return 200, {"artifact_uri": uri}
            query = urllib.parse.parse_qs(parts.query)
            if parts.path.endswith("/mlflow-artifacts/artifacts"):
                return 200, {"files": files.get(query["path"][0], [])}
            self.assertTrue(parts.path.endswith("/artifacts/1/models/m/artifacts/data/model.onnx"), path)
            return data

        target = self.folder() / "model" / "model.onnx"
        self.registry(answer).download("3", target)
        return target.read_bytes()

    FILES = {
        "1/models/m/artifacts": [{"path": "MLmodel", "is_dir": False}, {"path": "data", "is_dir": True}],
        "1/models/m/artifacts/data": [{"path": "model.onnx", "is_dir": False}],
    }

    def test_downloads_the_one_model_file(self):
        self.assertEqual(self.download(self.FILES), b"onnx")

    def test_downloads_nothing_else(self):
        folder = "1/models/m/artifacts"
        two = [{"path": "a.onnx"}, {"path": "b.onnx"}]
        for files in ({}, {folder: two}, {folder: [{"path": "../../../etc/model.onnx"}]}):
            self.refused(Code.MissingModelVersion, self.download, files)
        self.refused(Code.MissingModelVersion, self.download, self.FILES, uri="file:///etc")

    def test_an_object_store_that_is_down(self):
        self.refused(Code.ObjectStoreUnavailable, self.download, self.FILES, data=(500, b""))

    def test_development_never_goes_back(self):
        world = World()
        with mock.patch("builtins.print"):
            world.start(tag_development.main, MODEL_VERSION="9")
            world.start(tag_development.main, MODEL_VERSION="8")
        self.assertEqual(world.aliases, {"development": "9"})
        self.refused(Code.MissingModelVersion, world.start, tag_development.main, MODEL_VERSION="77")
        self.refused(Code.MissingModelVersion, world.start, tag_development.main, MODEL_VERSION="0")


class Git(Case):
    def setUp(self) -> None:
        self.url = str(self.folder() / "origin")
        self.git("init", "--quiet", "--initial-branch", "mlops", self.url)
        self.commit("one")

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        return subprocess.run(
            ["git", *identity, *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, text: str) -> str:
        (Path(self.url) / "file").write_text(text)
        self.git("-C", self.url, "add", "file")
        self.git("-C", self.url, "commit", "--quiet", "-m", text)
        return self.git("-C", self.url, "rev-parse", "HEAD")

    def test_newest_commit_and_its_files(self):
        commit = self.commit("two")
        repository = Repository(self.url, "mlops")
        self.assertEqual(repository.commit(), commit)
        target = self.folder() / "clone"
        self.assertEqual(repository.clone(target), commit)
        self.assertEqual((target / "file").read_text(), "two")

    def test_an_earlier_commit_of_the_branch_only(self):
        first = self.git("-C", self.url, "rev-parse", "HEAD")
        self.commit("two")
        target = self.folder() / "clone"
        Repository(self.url, "mlops").clone(target, first)
        self.assertEqual((target / "file").read_text(), "one")
        self.git("-C", self.url, "checkout", "--quiet", "--orphan", "other")
        foreign = self.commit("three")
        self.refused(
            Code.UnknownBranch, Repository(self.url, "mlops").clone, self.folder() / "clone", foreign
        )

    def test_faults_by_name(self):
        self.refused(Code.UnknownBranch, Repository(self.url, "nope").commit)
        self.refused(Code.UnknownBranch, Repository(self.url, "nope").clone, self.folder() / "clone")
        absent = Repository("http://me:hush@127.0.0.1:9/x.git", "main", patience=0)
        error = self.refused(Code.GitUnavailable, absent.commit)
        self.assertNotIn("hush", str(error))

    def test_check_code(self):
        world = World()
        self.program("crane", "#!/bin/sh\necho 'MANIFEST_UNKNOWN: manifest unknown' >&2\nexit 1\n")
        outputs = world.start(check_code.main, TRAIN_GIT_URL=self.url, BRANCH="mlops")
        commit = self.git("-C", self.url, "rev-parse", "HEAD")
        name = "registry.example:5000/gourmetgram-train"
        self.assertEqual(outputs, {"commit": commit, "image": f"{name}:{commit}", "needs-rebuild": "true"})


class Crane(Case):
    def images(self, text: str) -> Images:
        self.program("crane", f"#!/bin/sh\n{text}\n")
        return Images("registry.example/app", patience=0)

    def test_digest(self):
        self.assertEqual(self.images(f"echo {version(1).digest}").digest("t"), version(1).digest)
        self.assertIsNone(self.images("echo 'MANIFEST_UNKNOWN' >&2; exit 1").digest("t"))
        self.refused(Code.MissingImage, self.images("echo nonsense").digest, "t")

    def test_tags_by_digest_and_only_when_needed(self):
        log = self.folder() / "log"
        text = f'echo "$*" >>{log}; [ "$1" = tag ] || echo {version(1).digest}'
        images = self.images(text)
        images.tag(version(1).digest, "staging-1.0.1")
        images.tag(version(2).digest, "staging-1.0.2")
        self.assertEqual(
            log.read_text().splitlines(),
            [
                "digest registry.example/app:staging-1.0.1",
                "digest registry.example/app:staging-1.0.2",
                f"tag registry.example/app@{version(2).digest} staging-1.0.2",
            ],
        )

    def test_faults_by_name(self):
        self.refused(Code.AccessDenied, self.images("echo UNAUTHORIZED >&2; exit 1").digest, "t")
        self.refused(
            Code.RegistryUnavailable, self.images("echo 'connection refused' >&2; exit 1").digest, "t"
        )
        self.refused(
            Code.MissingImage, self.images("echo 'NAME_UNKNOWN' >&2; exit 1").tag, version(1).digest, "t"
        )


class Builds(Case):
    KNOWN = Settings({"REGISTRY": "registry.example:5000", "BUILDKIT_ADDRESS": "tcp://buildkitd:1234"})
    restart = 0.0

    def build(self, text: str) -> str:
        self.program("buildctl", f"#!/bin/sh\n{text}\n")
        context = self.folder() / "source"
        context.mkdir()
        wanted = Build(context, "app", "app-1.0.1", {"MODEL_VERSION": "1.0.1"}, {"a": "b c"})
        with mock.patch("builtins.print"), mock.patch.object(builder, "RESTART_SECONDS", self.restart):
            return builder.build(self.KNOWN, wanted, 20)

    def test_digest(self):
        metadata = json.dumps({"containerimage.digest": version(1).digest})
        found = self.build(f"""while [ "$1" != --metadata-file ]; do shift; done; echo '{metadata}' >"$2" """)
        self.assertEqual(found, version(1).digest)
        self.refused(Code.BuildFailed, self.build, "exit 0")

    def test_a_builder_that_restarts(self):
        self.restart = 30.0
        metadata = json.dumps({"containerimage.digest": version(1).digest})
        marker = self.folder() / "seen"
        text = f"""[ -e {marker} ] || {{ touch {marker}; echo 'connection refused' >&2; exit 1; }}
while [ "$1" != --metadata-file ]; do shift; done; echo '{metadata}' >"$2" """
        with mock.patch("time.sleep"):
            self.assertEqual(self.build(text), version(1).digest)

    def test_command_line(self):
        wanted = Build(Path("/tmp/x/source"), "app", "t", {"A": "1"}, {"l": "b c"})
        found = builder.arguments(self.KNOWN, wanted, Path("/tmp/x/m.json"))
        text = " ".join(found)
        self.assertIn("label:l=b c", found)
        self.assertIn("build-arg:A=1", found)
        self.assertIn("--tlsdir /run/secrets/buildkit", text)
        self.assertIn("name=registry.example:5000/app:t,push=true,oci-mediatypes=true,compression=zstd", text)
        self.assertIn("--import-cache type=registry,ref=registry.example:5000/app:cache", text)

    def test_faults_by_name(self):
        expected = {
            "ResourceExhausted: write /x: no space left on device": Code.DiskFull,
            "error: failed to list workers: connection refused": Code.BuilderUnavailable,
            "failed to push registry: 503 Service Unavailable": Code.RegistryUnavailable,
            "process /bin/sh -c pip install did not complete successfully: exit code: 1": Code.BuildFailed,
        }
        for text, code in expected.items():
            self.refused(code, self.build, f"echo '{text}' >&2; exit 1")


class Commands(Case):
    def test_end_in_time_with_all_they_started(self):
        start = time.monotonic()
        ended = command.run(["sh", "-c", "sleep 60 & echo $! ; wait"], timeout=0.3)
        self.assertIsNone(ended.status)
        self.assertLess(time.monotonic() - start, 8)
        child = int(ended.output)
        time.sleep(0.1)
        state = Path(f"/proc/{child}/stat")
        self.assertTrue(not state.exists() or state.read_text().split()[2] == "Z")

    def test_log_is_bounded_and_clean(self):
        program = "import sys\nfor n in range(2000): print('u', 'http://a:b@c/' + str(n), file=sys.stderr)"
        shown = io.StringIO()
        with mock.patch("sys.stdout", shown):
            ended = command.run([sys.executable, "-c", program], timeout=20, show=True)
        self.assertEqual(ended, Ended(0, "", ended.errors))
        lines = shown.getvalue().splitlines()
        self.assertEqual(len(lines), command.SHOWN_LINES + 1)
        self.assertEqual(lines[0], "u http://c/0")
        self.assertEqual(len(ended.errors.splitlines()), command.KEPT_LINES)


class Frame(Case):
    """A step as a process."""

    def start(self, *arguments: str, **env: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-B", *arguments],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(STEPS), **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def test_a_named_error_is_the_last_line(self):
        outputs = self.folder()
        process = self.start(
            str(STEPS / "check_code.py"), BRANCH="-x", TRAIN_GIT_URL="http://a", OUTPUTS=str(outputs)
        )
        errors = process.communicate()[1]
        self.assertEqual(process.returncode, 1)
        self.assertEqual(errors.splitlines()[-1], "UnknownBranch: '-x' is no branch name")
        self.assertEqual((outputs / "error").read_text(), "UnknownBranch: '-x' is no branch name")

    def test_sigterm_ends_a_step_by_name(self):
        program = "import step, time\nstep.run(lambda _: (print('ready', flush=True), time.sleep(30)))"
        process = self.start("-c", program, OUTPUTS=str(self.folder()))
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        errors = process.communicate(timeout=10)[1]
        self.assertEqual((process.returncode, errors.partition(":")[0]), (1, "Interrupted"))

    def test_an_unexpected_error_has_a_name(self):
        process = self.start("-c", "import step\nstep.run(lambda _: {}['x'])", OUTPUTS=str(self.folder()))
        errors = process.communicate()[1]
        self.assertEqual((process.returncode, errors.splitlines()[-1]), (1, "UnexpectedError: KeyError: 'x'"))

    def test_every_step_is_a_program(self):
        names = (
            "check_code build_train tag_development build_app change_stage settle gate_integration "
            "gate_resources gate_load approve guard_promotion revert"
        )
        for name in names.split():
            with self.subTest(name):
                process = self.start(
                    str(STEPS / f"{name}.py"), OUTPUTS=str(self.folder()), STAGE="", BRANCH=""
                )
                errors = process.communicate()[1]
                self.assertEqual(process.returncode, 1)
                self.assertEqual(errors.splitlines()[-1].partition(":")[0], "InvalidSetting", errors)


if __name__ == "__main__":
    unittest.main()
