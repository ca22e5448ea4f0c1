"""Why a run ended badly: found in what Argo lists, written into the ledger once, without moving a stage."""

import json
import unittest

import ledger as book
import record_failure
from errors import LONGEST_MESSAGE, Code, StepError
from ledger import NOTHING, Running

from fakes import World, version

ERROR = "main: Error (exit code 1): "


def node(name: str, message: str, seconds: int = 1, template: str = "") -> dict:
    return {
        "displayName": name,
        "message": message,
        "templateName": template or name,
        "phase": "Failed",
        "podName": f"wf-{name}-1",
        "finishedAt": f"2026-01-01T00:00:{seconds:02}Z",
    }


def quoted(*nodes: dict) -> str:
    """As Argo's variable reads: the list, quoted once more."""
    return json.dumps(json.dumps(nodes))


HOLDERS = (node("train", "child 'wf-123' failed", 9), node("wf", "child 'wf-9' failed", 9))
GONE = node("check-code", f"{ERROR}UnknownBranch: 'gone' is no branch of http://git.example/x.git", 3)


class Reason(unittest.TestCase):
    def test_named_error(self):
        expected = "UnknownBranch: 'gone' is no branch of http://git.example/x.git"
        for message in (GONE["message"], GONE["message"].removeprefix("main: "), expected):
            found = record_failure.reason_of(quoted(*HOLDERS, node("check-code", message)))
            self.assertEqual(found, expected)

    def test_the_first_failure_is_the_cause(self):
        later = node("end", f"{ERROR}SettleFailed: staging: ClusterUnavailable: no answer", 8)
        self.assertTrue(record_failure.reason_of(quoted(later, *HOLDERS, GONE)).startswith("UnknownBranch: "))
        # One without a name is less than one with a name.
        lost = node("tag-development", "pod deleted", 1)
        self.assertTrue(record_failure.reason_of(quoted(lost, later)).startswith("SettleFailed: staging: "))

    def test_training(self):
        failed = node("run-training", f"{ERROR}2 failed\nno model version registered", 2)
        self.assertEqual(
            record_failure.reason_of(quoted(*HOLDERS, failed)),
            "TrainingFailed: exit code 1: no model version registered",
        )
        alone = node("run-training", "main: Error (exit code 3): retrying\nMLflow does not answer", 2)
        self.assertEqual(
            record_failure.reason_of(quoted(*HOLDERS, alone)),
            "MLflowUnavailable: the training could not reach it: MLflow does not answer",
        )
        silent = node("run-training", "")
        self.assertEqual(record_failure.reason_of(quoted(silent)), "TrainingFailed: it gave no reason")

    def test_no_name(self):
        lost = node("build-app", "pod deleted")
        self.assertEqual(
            record_failure.reason_of(quoted(*HOLDERS, lost)), "WorkflowFailed: build-app: pod deleted"
        )
        ended = node("build-app", "Error (exit code 137): killed")
        self.assertEqual(record_failure.reason_of(quoted(ended)), "WorkflowFailed: build-app: killed")
        bare = node("build-app", "OOMKilled (exit code 137)")
        self.assertEqual(
            record_failure.reason_of(quoted(bare)), "WorkflowFailed: build-app: OOMKilled (exit code 137)"
        )

    def test_a_try_that_another_made_good_does_not_count(self):
        first = node("build-app(0)", f"{ERROR}BuilderUnavailable: no answer", 1)
        later = node("guard", f"{ERROR}VersionNotServed: nothing", 5)
        self.assertTrue(record_failure.reason_of(quoted(first, later)).startswith("VersionNotServed: "))
        whole = node("build-app", "No more retries left", 6)
        self.assertTrue(record_failure.reason_of(quoted(first, whole)).startswith("BuilderUnavailable: "))

    def test_text_that_is_hard_to_read(self):
        # Go quotes what it cannot print in a way that JSON does not know.
        odd = r'"[{\"displayName\":\"a\",\"message\":\"DiskFull: \x7f \U000e0001 \\\"full\\\"\"}]"'
        self.assertTrue(record_failure.reason_of(odd).startswith("DiskFull: "))
        plain = json.dumps([GONE])
        self.assertTrue(record_failure.reason_of(plain).startswith("UnknownBranch: "))
        none = "WorkflowFailed: no step gave a reason"
        deep = f'"{"[" * 5000}"'
        broken = ("", "null", '"null"', '"[', "[1, null]", "{}", deep, "{{workflow.failures}}")
        for text in broken:
            self.assertEqual(record_failure.reason_of(text), none, text[:20])

    def test_holds_no_login(self):
        leaking = node("check-code", f"{ERROR}GitUnavailable: http://git:secret@git.example/x.git")
        self.assertEqual(
            record_failure.reason_of(quoted(leaking)), "GitUnavailable: http://git.example/x.git"
        )


class Record(unittest.TestCase):
    def setUp(self):
        self.world = World()
        self.world.run("staging", 3, 4)

    def record(self, stage: str = "staging", *nodes: dict, **values: str) -> None:
        self.world.start(record_failure.main, STAGE=stage, FAILURES=quoted(*(nodes or (GONE,))), **values)

    def test_is_written_and_moves_nothing(self):
        before = self.world.ledger.entries("staging")
        self.record()
        after = self.world.ledger.entries("staging")
        self.assertEqual(after[:-1], before)
        entry = after[-1]
        self.assertEqual((entry.action, entry.workflow, entry.by), (book.FAILED, "wf", "eva"))
        self.assertEqual((entry.origin, entry.to), (version(4), version(4)))
        self.assertTrue(entry.reason.startswith("UnknownBranch: "), entry.reason)
        for look in (book.current, book.previous, book.history, book.unfinished, book.is_frozen):
            self.assertEqual(look(after), look(before), look.__name__)
        self.assertIsNone(book.verdict(after, version(4)))
        self.assertEqual(self.world.wanted("staging"), version(4))

    def test_where_nothing_runs(self):
        self.record("production")
        entry = self.world.last("production")
        self.assertEqual((entry.action, entry.origin, entry.to), (book.FAILED, NOTHING, NOTHING))
        self.assertIsNone(book.current(self.world.ledger.entries("production")))

    def test_once(self):
        self.record()
        self.record()
        self.assertEqual(self.world.actions("staging").count(book.FAILED), 1)

    def test_not_when_a_step_of_the_run_has_said_so(self):
        for action in (book.FAILED, book.REJECTED, book.REVERTED):
            for stage in ("staging", "canary"):
                world = self.world = World()
                world.write(stage, action, version(4), workflow="wf")
                self.record()
                self.assertEqual([*world.actions("staging"), *world.actions("canary")], [action])

    def test_others_do_not_speak_for_it(self):
        self.world.write("staging", book.FAILED, version(4), workflow="another")
        self.world.write("staging", book.DEPLOYED, version(5), workflow="wf")
        self.record()
        self.assertEqual(self.world.last("staging").workflow, "wf")
        self.assertEqual(self.world.last("staging").to, version(5))

    def test_ends_no_change_that_was_begun(self):
        self.world.write(
            "staging", book.STARTED, version(5), origin=version(4), change="wf.staging", workflow="wf"
        )
        self.record()
        self.assertEqual(self.world.last("staging").action, book.FAILED)
        left = book.unfinished(self.world.ledger.entries("staging"))
        self.assertEqual([entry.change for entry in left], ["wf.staging"])

    def test_is_bounded(self):
        self.record("staging", node("build-app", f"{ERROR}BuildFailed: {'x' * 90_000}"))
        self.assertLessEqual(len(self.world.last("staging").reason), LONGEST_MESSAGE)

    def test_unknown_stage(self):
        with self.assertRaises(StepError) as caught:
            self.record("live")
        self.assertEqual(caught.exception.code, Code.UnknownStage)

    def test_versions_are_what_the_ledger_takes(self):
        self.record()
        self.assertIsInstance(self.world.last("staging").to, Running)


if __name__ == "__main__":
    unittest.main()
