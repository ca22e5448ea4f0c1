"""The promotion protocol: forward, back, and dead at any write."""

import unittest

import approve
import change_stage
import gates
import guard_promotion
import ledger as book
import revert
import settle
from change import aliases_for
from errors import Code, StepError
from ledger import NOTHING

from fakes import Killed, World, version

PASS = "integration=pass resources=pass load=pass"


def deploy(world: World, number: int, stage: str = "staging", **values: str) -> dict[str, str]:
    running = version(number)
    world.know(number)
    return world.start(
        change_stage.main,
        **{
            "STAGE": stage,
            "TARGET_VERSION": running.version,
            "TARGET_DIGEST": running.digest,
            "CHANGE": f"wf.{stage}",
            **values,
        },
    )


def rest(world: World, number: int | None, stage: str = "staging", **values: str) -> dict[str, str]:
    tried = "" if number is None else version(number).version
    return world.start(
        settle.main,
        **{"STAGE": stage, "VERSION": tried, "CHANGE": f"wf.{stage}", "REASON": "GateFailed", **values},
    )


class Case(unittest.TestCase):
    def setUp(self) -> None:
        self.world = World()

    def refused(self, code: Code, function, *arguments, **values) -> StepError:
        with self.assertRaises(StepError) as caught:
            function(*arguments, **values)
        self.assertEqual(caught.exception.code, code, caught.exception)
        return caught.exception

    def assert_at_rest(self, stage: str, *allowed) -> None:
        """Ledger, Application, pods and aliases agree, on one of the allowed versions."""
        world = self.world
        entries = world.ledger.entries(stage)
        running = book.current(entries) or NOTHING
        self.assertIn(running, allowed)
        self.assertEqual(book.unfinished(entries), [])
        self.assertEqual(world.wanted(stage), running)
        self.assertEqual(world.serving[stage], running)
        self.assertIn(world.trying[stage], (None, running))
        for alias, number in aliases_for(stage, entries).items():
            self.assertEqual(world.aliases.get(alias), number, alias)


class Forward(Case):
    def test_deploys_in_the_order_of_the_protocol(self):
        self.world.run("staging", 4)
        outputs = deploy(self.world, 5, REASON="model 5")
        self.assertEqual(
            self.world.effects,
            [
                "ledger staging started",
                "tag staging-1.0.5",
                "patch staging",
                "alias staging-previous",
                "alias staging",
                "ledger staging deployed",
            ],
        )
        self.assertEqual(outputs, {"outcome": "deployed", "previous-version": "1.0.4"})
        last = self.world.last("staging")
        self.assertEqual(
            (last.origin, last.to, last.by, last.reason), (version(4), version(5), "eva", "model 5")
        )
        self.assertEqual(self.world.aliases, {"staging": "5", "staging-previous": "4"})
        self.assert_at_rest("staging", version(5))

    def test_the_first_version_of_a_stage(self):
        deploy(self.world, 0)
        self.assertEqual(self.world.aliases, {})
        deploy(self.world, 1, CHANGE="wf2.staging")
        self.assertEqual(self.world.aliases, {"staging": "1"})
        deploy(self.world, 2, CHANGE="wf3.staging")
        self.assertEqual(self.world.aliases, {"staging": "2", "staging-previous": "1"})

    def test_keeps_other_parameters_of_the_application(self):
        other = {"name": "replicas", "value": "3"}
        self.world.applications["staging"]["spec"]["source"]["helm"]["parameters"] = [other]
        deploy(self.world, 1)
        self.assertIn(other, self.world.applications["staging"]["spec"]["source"]["helm"]["parameters"])

    def test_finds_the_digest_of_a_built_version(self):
        deploy(self.world, 3, TARGET_DIGEST="")
        self.assert_at_rest("staging", version(3))
        self.refused(
            Code.MissingImage, self.world.start, change_stage.main, STAGE="staging", TARGET_VERSION="1.0.8"
        )

    def test_what_is_live_already_is_left_alone(self):
        self.world.run("staging", 4)
        self.assertEqual(deploy(self.world, 4)["outcome"], "unchanged")
        self.assertEqual(self.world.effects, [])

    def test_only_an_empty_stage(self):
        self.assertEqual(deploy(self.world, 0, "production", ONLY_IF_EMPTY="true")["outcome"], "deployed")
        self.world.effects.clear()
        self.assertEqual(deploy(self.world, 1, "production", ONLY_IF_EMPTY="true")["outcome"], "unchanged")
        self.assertEqual(self.world.effects, [])

    def test_promotes_what_the_source_serves_and_approves_it(self):
        self.world.run("staging", 4, 5)
        self.world.run("canary", 3)
        deploy(self.world, 5, "canary", SOURCE_STAGE="staging", APPROVE_SOURCE="true", GATES=PASS)
        self.assert_at_rest("canary", version(5))
        self.assertEqual(self.world.aliases["staging-approved"], "5")
        last = self.world.last("staging")
        self.assertEqual((last.action, last.to, last.reason), (book.APPROVED, version(5), PASS))

    def test_a_second_pod_of_a_finished_change_changes_nothing(self):
        deploy(self.world, 5)
        before = dict(self.world.entries)
        self.assertEqual(deploy(self.world, 5)["outcome"], "deployed")
        self.assertEqual(self.world.entries, before)


class Refused(Case):
    """Nothing is touched; the ledger says why."""

    def check(self, stage: str, code: Code, **values: str) -> None:
        before = self.world.wanted(stage)
        number = int(values.pop("number", "5"))
        error = self.refused(code, deploy, self.world, number, stage, **values)
        self.assertEqual(self.world.wanted(stage), before)
        self.assertNotIn(f"patch {stage}", self.world.effects)
        last = self.world.last(stage)
        self.assertEqual((last.action, last.reason, last.by), (book.FAILED, str(error), "eva"))
        self.assertEqual(book.unfinished(self.world.ledger.entries(stage)), [])

    def test_frozen(self):
        self.world.run("staging", 4)
        self.world.write("staging", book.FROZEN, NOTHING, by="max", reason="exam")
        self.check("staging", Code.StageFrozen)
        self.assertIn("exam (max)", self.world.last("staging").reason)
        self.world.write("staging", book.UNFROZEN, NOTHING)
        deploy(self.world, 5)
        self.assert_at_rest("staging", version(5))

    def test_version_the_source_does_not_serve(self):
        self.world.run("staging", 4)
        self.world.run("canary", 3)
        self.check("canary", Code.VersionNotServed, SOURCE_STAGE="staging")

    def test_digest_the_source_does_not_serve(self):
        self.world.run("staging", 5)
        self.check("canary", Code.VersionNotServed, SOURCE_STAGE="staging", TARGET_DIGEST=version(7).digest)

    def test_source_whose_ledger_is_not_the_truth(self):
        self.world.run("staging", 5)
        self.world.applications["staging"]["spec"]["source"]["helm"]["parameters"] = []
        self.check("canary", Code.VersionNotServed, SOURCE_STAGE="staging")

    def test_source_that_answers_otherwise(self):
        for behaviour in ("liar", "mute"):
            with self.subTest(behaviour):
                self.world = World()
                self.world.run("staging", 5)
                self.world.behaviour[version(5).digest] = behaviour
                self.check("canary", Code.VersionNotServed, SOURCE_STAGE="staging")

    def test_source_in_the_middle_of_a_change(self):
        self.world.run("staging", 5)
        self.world.write("staging", book.STARTED, version(6), version(5))
        self.check("canary", Code.VersionNotServed, SOURCE_STAGE="staging")

    def test_a_stage_cannot_be_skipped(self):
        self.world.run("staging", 5)
        self.check("production", Code.PromotionSkipsStage, SOURCE_STAGE="staging")
        self.world.run("production", 1)
        self.check("production", Code.PromotionSkipsStage)
        self.check("canary", Code.PromotionSkipsStage, SOURCE_STAGE="production")

    def test_a_version_the_stage_ran_before_needs_no_source(self):
        self.world.run("production", 1, 2)
        deploy(self.world, 1, "production")
        self.assert_at_rest("production", version(1))

    def test_a_version_the_gates_rejected(self):
        self.world.run("staging", 5)
        self.world.write("staging", book.REJECTED, version(5), reason="TooSlow: 9 s")
        self.check("canary", Code.GatesNotPassed, SOURCE_STAGE="staging")
        self.assertIn("TooSlow: 9 s", self.world.last("canary").reason)
        guard = {"SOURCE": "staging", "TARGET": "canary", "VERSION": "5"}
        self.refused(Code.GatesNotPassed, self.world.start, guard_promotion.main, **guard)

    def test_gates(self):
        self.world.run("staging", 5)
        for found in ("", "integration=pass load=fail", "integration=pass resources="):
            with self.subTest(found):
                self.check(
                    "canary", Code.GatesNotPassed, SOURCE_STAGE="staging", APPROVE_SOURCE="true", GATES=found
                )
        self.assertNotIn("staging-approved", self.world.aliases)

    def test_missing_model_version(self):
        self.world.know(77)
        self.check("staging", Code.MissingModelVersion, number="77")

    def test_mlflow_down(self):
        self.world.run("staging", 4)
        self.world.down = {"mlflow"}
        self.check("staging", Code.MLflowUnavailable)

    def test_unknown_stage_and_bad_values(self):
        self.refused(Code.UnknownStage, deploy, self.world, 5, "qa")
        self.refused(Code.MissingModelVersion, deploy, self.world, 5, TARGET_VERSION="1.0.5; rm")
        self.refused(Code.MissingImage, deploy, self.world, 5, TARGET_DIGEST="latest")

    def test_guard_promotion(self):
        self.world.run("staging", 5)
        guard = {"SOURCE": "staging", "TARGET": "canary", "VERSION": "1.0.5"}
        self.assertEqual(self.world.start(guard_promotion.main, **guard), {"digest": version(5).digest})
        self.assertEqual(self.world.effects, [])
        self.refused(
            Code.VersionNotServed, self.world.start, guard_promotion.main, **{**guard, "VERSION": "1.0.6"}
        )
        skipping = {**guard, "TARGET": "production"}
        self.refused(Code.PromotionSkipsStage, self.world.start, guard_promotion.main, **skipping)
        self.world.write("canary", book.FROZEN, NOTHING)
        self.refused(Code.StageFrozen, self.world.start, guard_promotion.main, **guard)


class Failing(Case):
    """The stage is back on what its ledger recorded before; the aliases never lied."""

    def setUp(self) -> None:
        super().setUp()
        self.world.run("staging", 4, 5)

    def check(self, code: Code, number: int = 6) -> None:
        aliases = dict(self.world.aliases)
        self.refused(code, deploy, self.world, number)
        last = self.world.last("staging")
        self.assertEqual((last.action, last.origin, last.to), (book.FAILED, version(5), version(number)))
        self.assertTrue(last.reason.startswith(f"{code}: "), last.reason)
        self.assert_at_rest("staging", version(5))
        self.assertEqual(self.world.aliases, aliases)
        # Nothing is left to do.
        effects = len(self.world.effects)
        self.assertEqual(rest(self.world, number)["outcome"], "kept")
        self.assertEqual(len(self.world.effects), effects)

    def test_rollouts(self):
        expected = {
            "crash": Code.CrashLoopBackOff,
            "oom": Code.OOMKilled,
            "pull": Code.ImagePullBackOff,
            "slow-pull": Code.ImagePullBackOff,
            "pending": Code.RolloutTimeout,
            "mute": Code.SmokeFailed,
            "liar": Code.WrongVersion,
        }
        for behaviour, code in expected.items():
            with self.subTest(behaviour):
                self.setUp()
                self.world.behaviour[version(6).digest] = behaviour
                self.check(code)

    def test_the_first_stage_leaves_judging_to_its_gates(self):
        self.world.behaviour[version(6).digest] = "classless"
        deploy(self.world, 6)
        self.assert_at_rest("staging", version(6))
        rest(self.world, 6)
        self.assert_at_rest("staging", version(5))

    def test_a_stage_without_gates_judges_for_itself(self):
        self.world.run("production", 4, 5)
        self.world.know(6)
        self.world.write("production", book.DEPLOYED, version(6), version(5))
        self.world.write("production", book.REVERTED, version(5), version(6))
        self.world.behaviour[version(6).digest] = "classless"
        self.refused(Code.SmokeFailed, deploy, self.world, 6, "production")
        self.assert_at_rest("production", version(5))

    def test_two_in_a_row(self):
        self.world.behaviour = {version(6).digest: "crash", version(7).digest: "oom"}
        self.check(Code.CrashLoopBackOff, 6)
        self.check(Code.OOMKilled, 7)

    def test_never_patched_means_never_touched(self):
        self.world.down = {"registry"}
        self.refused(Code.RegistryUnavailable, deploy, self.world, 6)
        self.assertEqual(self.world.effects, ["ledger staging started", "ledger staging failed"])

    def test_mlflow_goes_away_during_the_rollout(self):
        def gone():
            if self.world.wanted("staging") == version(6):
                self.world.down = {"mlflow"}

        self.world.on_sleep = gone
        self.refused(Code.MLflowUnavailable, deploy, self.world, 6)
        # The aliases could not be looked at: settle does, as soon as it can.
        self.assertEqual(self.world.actions("staging")[-1], book.STARTED)
        self.assertEqual(self.world.wanted("staging"), version(5))
        self.world.on_sleep = lambda: None
        self.world.down = set()
        self.assertEqual(rest(self.world, 6)["outcome"], "reverted")
        self.assert_at_rest("staging", version(5))

    def test_mlflow_stays_away(self):
        def gone():
            if self.world.wanted("staging") == version(6):
                self.world.down = {"mlflow"}

        self.world.on_sleep = gone
        self.refused(Code.MLflowUnavailable, deploy, self.world, 6)
        rest(self.world, 6)
        last = self.world.last("staging")
        self.assertEqual(last.action, book.FAILED)
        self.assertIn("MLflowUnavailable", last.reason)

    def test_somebody_else_changes_the_application(self):
        def meddle():
            if self.world.wanted("staging") == version(6):
                self.world.applications["staging"]["spec"]["source"]["helm"]["parameters"] = []

        self.world.on_sleep = meddle
        self.check(Code.Superseded)

    def test_the_first_version_ever_fails(self):
        self.world = World()
        self.world.behaviour[version(0).digest] = "crash"
        self.refused(Code.CrashLoopBackOff, deploy, self.world, 0)
        self.assertEqual(self.world.wanted("staging"), NOTHING)
        self.assertEqual(self.world.last("staging").action, book.FAILED)

    def test_a_pod_thought_dead_cannot_undo_what_was_settled(self):
        """The change's pod sleeps on a lost node, settle ends its change, then it wakes up."""

        def lost():
            self.world.on_sleep = lambda: None
            rest(self.world, 6)

        self.world.on_sleep = lost
        self.refused(Code.Superseded, deploy, self.world, 6)
        self.assert_at_rest("staging", version(5))
        self.assertEqual(self.world.actions("staging").count(book.FAILED), 1)


class Tested(Case):
    """A version that was deployed well and failed its tests."""

    def setUp(self) -> None:
        super().setUp()
        self.world.run("staging", 4, 5)
        self.world.run("canary", 4)
        self.world.run("production", 4)
        self.others = {stage: self.world.ledger.entries(stage) for stage in ("canary", "production")}

    def tearDown(self) -> None:
        for stage, entries in self.others.items():
            self.assertEqual(self.world.ledger.entries(stage), entries)
            self.assertEqual(self.world.wanted(stage), version(4))

    def test_goes_back(self):
        deploy(self.world, 6)
        self.assertEqual(rest(self.world, 6)["outcome"], "reverted")
        self.assert_at_rest("staging", version(5))
        last = self.world.last("staging")
        self.assertEqual((last.action, last.origin, last.to), (book.REVERTED, version(6), version(5)))
        self.assertEqual(last.reason, "GateFailed")
        self.assertEqual(self.world.aliases["staging-previous"], "4")

    def test_goes_back_for_the_reason_of_the_gates(self):
        deploy(self.world, 6)

        def slow(*_):
            raise StepError(Code.TooSlow, "95 % take 9 s")

        with self.assertRaises(StepError):
            self.world.start(lambda step: gates.judge(step, slow), STAGE="staging", VERSION="1.0.6")
        last = self.world.last("staging")
        self.assertEqual(
            (last.action, last.to, last.reason), (book.REJECTED, version(6), "TooSlow: 95 % take 9 s")
        )
        rest(self.world, 6)
        self.assertEqual(self.world.last("staging").reason, "TooSlow: 95 % take 9 s")
        self.assert_at_rest("staging", version(5))

    def test_a_gate_that_could_not_measure_rejects_nothing(self):
        deploy(self.world, 6)
        entries = self.world.ledger.entries("staging")

        def blind(*_):
            raise StepError(Code.ClusterUnavailable, "no answer")

        with self.assertRaises(StepError):
            self.world.start(lambda step: gates.judge(step, blind), STAGE="staging", VERSION="1.0.6")
        self.assertEqual(self.world.ledger.entries("staging"), entries)

    def test_goes_back_each_time(self):
        for number in (6, 7, 8):
            deploy(self.world, number, CHANGE=f"wf{number}.staging")
            rest(self.world, number, CHANGE=f"wf{number}.staging")
            self.assert_at_rest("staging", version(5))

    def test_goes_back_past_a_version_that_was_rejected(self):
        deploy(self.world, 6, CHANGE="wf6.staging")
        self.world.write("staging", book.REJECTED, version(6))
        deploy(self.world, 7, CHANGE="wf7.staging")
        rest(self.world, 7, CHANGE="wf7.staging")
        self.assert_at_rest("staging", version(5))

    def test_settles_once(self):
        deploy(self.world, 6)
        rest(self.world, 6)
        before = dict(self.world.entries)
        self.assertEqual(rest(self.world, 6)["outcome"], "reverted")
        self.assertEqual(self.world.entries, before)

    def test_what_fails_after_the_tests_does_not_take_the_version_away(self):
        deploy(self.world, 6)
        self.world.write("staging", book.APPROVED, version(6), workflow="wf")
        self.assertEqual(rest(self.world, 6)["outcome"], "kept")

    def test_a_change_of_another_version_is_not_settled(self):
        deploy(self.world, 6)
        self.assertEqual(rest(self.world, 5)["outcome"], "kept")
        self.assertEqual(rest(self.world, None)["outcome"], "kept")
        self.assert_at_rest("staging", version(6))

    def test_the_only_version_is_taken_away(self):
        self.world = World()
        self.others = {}
        deploy(self.world, 1)
        rest(self.world, 1)
        self.assert_at_rest("staging", NOTHING)
        self.assertEqual(self.world.aliases, {})

    def test_the_way_back_fails(self):
        deploy(self.world, 6)
        self.world.behaviour[version(5).digest] = "crash"
        self.refused(Code.SettleFailed, rest, self.world, 6)
        # It serves, which is more than the other one does.
        self.assert_at_rest("staging", version(6))


class Dying(Case):
    """kill -9 at every write: settle, or the next change, ends in the old or the new version."""

    def count(self, body) -> int:
        body()
        return len(self.world.effects)

    def arrange(self) -> None:
        self.world = World()
        self.world.run("staging", 4, 5)

    def each(self, body, check) -> None:
        self.arrange()
        total = self.count(body)
        self.assertGreater(total, 3)
        for index in range(total):
            for after in (False, True):
                with self.subTest(
                    effect=self.world.effects[index] if index < len(self.world.effects) else index
                ):
                    self.arrange()
                    self.world.kill_at, self.world.kill_after = index, after
                    with self.assertRaises(Killed):
                        body()
                    self.world.kill_at = None
                    check()

    def good(self) -> None:
        deploy(self.world, 6)

    def bad(self) -> None:
        self.world.behaviour[version(6).digest] = "crash"
        try:
            deploy(self.world, 6)
        except StepError:
            return

    def test_then_settle(self):
        def check():
            rest(self.world, 6)
            # A version that was deployed and not approved is taken away, so the old one it is.
            self.assert_at_rest("staging", version(5))
            self.assertEqual(self.world.aliases, {"staging": "5", "staging-previous": "4"})

        self.each(self.good, check)

    def test_bad_then_settle(self):
        def check():
            rest(self.world, 6)
            self.assert_at_rest("staging", version(5))

        self.each(self.bad, check)

    def test_then_the_same_step_again(self):
        def check():
            deploy(self.world, 6)
            self.assert_at_rest("staging", version(6))

        self.each(self.good, check)

    def test_then_another_change(self):
        def check():
            deploy(self.world, 7, CHANGE="later.staging", WORKFLOW="later")
            self.assert_at_rest("staging", version(7))

        self.each(self.good, check)
        self.each(self.bad, check)

    def test_settle_dies_as_well(self):
        def body():
            self.world.kill_at, kill = None, self.world.kill_at
            deploy(self.world, 6)
            self.world.effects.clear()
            self.world.kill_at = kill
            rest(self.world, 6)

        def check():
            rest(self.world, 6)
            self.assert_at_rest("staging", version(5))

        self.each(body, check)

    def test_revert_dies(self):
        def body():
            self.world.start(revert.main, STAGE="staging", CHANGE="wf.staging", REASON="by hand")

        def check():
            outputs = self.world.start(revert.main, STAGE="staging", CHANGE="wf.staging", REASON="by hand")
            self.assertEqual(outputs, {"outcome": "reverted", "version": "1.0.4"})
            self.assert_at_rest("staging", version(4))

        self.each(body, check)

    def test_canary_dies_in_the_middle_of_a_promotion(self):
        def arrange():
            self.world = World()
            self.world.run("staging", 5)
            self.world.run("canary", 3, 4)

        self.arrange = arrange

        def body():
            deploy(self.world, 5, "canary", SOURCE_STAGE="staging", APPROVE_SOURCE="true", GATES=PASS)

        def check():
            rest(self.world, 5, "canary")
            self.assert_at_rest("canary", version(4))
            self.assert_at_rest("staging", version(5))
            body()
            self.assert_at_rest("canary", version(5))
            approvals = self.world.actions("staging").count(book.APPROVED)
            self.assertEqual(approvals, 1)

        self.each(body, check)


class Reverting(Case):
    def start(self, **values: str) -> dict[str, str]:
        return self.world.start(revert.main, **{"STAGE": "production", "CHANGE": "r.production", **values})

    def test_goes_further_back_each_time(self):
        self.world.run("production", 1, 2, 3)
        for expected in (2, 1):
            self.assertEqual(
                self.start(CHANGE=f"r{expected}.production")["version"], version(expected).version
            )
            self.assert_at_rest("production", version(expected))
        self.refused(Code.NothingToRevertTo, self.start, CHANGE="r0.production")
        self.assert_at_rest("production", version(1))

    def test_to_a_version(self):
        self.world.run("production", 1, 2, 3)
        self.start(TO_VERSION="1.0.1")
        self.assert_at_rest("production", version(1))
        self.refused(Code.NothingToRevertTo, self.start, TO_VERSION="1.0.9", CHANGE="r2")
        self.assertEqual(self.start(TO_VERSION="1.0.1", CHANGE="r3")["outcome"], "unchanged")

    def test_frozen(self):
        self.world.run("production", 1, 2)
        self.world.write("production", book.FROZEN, NOTHING)
        self.refused(Code.StageFrozen, self.start)

    def test_an_old_version_that_does_not_start_any_more(self):
        self.world.run("production", 1, 2)
        self.world.behaviour[version(1).digest] = "pull"
        self.refused(Code.ImagePullBackOff, self.start)
        self.assert_at_rest("production", version(2))


class Approving(Case):
    def start(self, decision: str, **values: str) -> dict[str, str]:
        running = version(5)
        known = {"VERSION": running.version, "DIGEST": running.digest, "DECISION": decision}
        return self.world.start(approve.main, **{"STAGE": "staging", "CHANGE": "wf", **known, **values})

    def test_approved(self):
        self.world.run("staging", 5)
        self.refused(Code.GatesNotPassed, self.start, "approved")
        self.assertEqual(self.world.effects, [])
        self.start("approved", GATES=PASS)
        self.assertEqual(self.world.effects, ["alias staging-approved", "ledger staging approved"])

    def test_only_what_is_served(self):
        self.world.run("staging", 6)
        self.refused(Code.VersionNotServed, self.start, "approved", GATES=PASS)

    def test_rejected(self):
        self.world.run("production", 4)
        error = self.refused(
            Code.PromotionRejected, self.start, "rejected", STAGE="production", REASON="too dark", BY="max"
        )
        self.assertIn("too dark (max)", str(error))
        last = self.world.last("production")
        self.assertEqual(
            (last.action, last.to, last.origin, last.by), (book.REJECTED, version(5), version(4), "max")
        )
        self.assertEqual(self.world.effects, ["ledger production rejected"])


if __name__ == "__main__":
    unittest.main()
