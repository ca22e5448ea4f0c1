import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ChangeCollector, changesOf } from "../../tools/cli/changes";
import { type EngineEvent, EventLogReader } from "../../tools/cli/events";
import { FailureCollector, formatFailures, isCancellation } from "../../tools/cli/failures";
import { clock, Progress, plainText, resourceTitle, seconds } from "../../tools/cli/progress";
import { StepPrinter } from "../../tools/cli/stepPrinter";

const urn = (type: string, name: string) =>
  `urn:pulumi:local::gourmetgram-infra::gourmetgram:k8s:Cluster$${type}::${name}`;
const machine = (name: string) => urn("gourmetgram:local:Machine", name);

const step = (name: string, op = "create", more: object = {}) => ({
  op,
  urn: machine(name),
  type: "gourmetgram:local:Machine",
  new: { custom: true },
  ...more,
});
const begin = (name: string, op?: string): EngineEvent => ({
  timestamp: 0,
  resourcePreEvent: { metadata: step(name, op) },
});
const end = (name: string, op?: string): EngineEvent => ({
  timestamp: 0,
  resOutputsEvent: { metadata: step(name, op) },
});
const fail = (name: string): EngineEvent => ({ timestamp: 0, resOpFailedEvent: { metadata: step(name) } });
const say = (
  name: string | undefined,
  message: string,
  severity = "info",
  ephemeral = true,
): EngineEvent => ({
  timestamp: 0,
  diagnosticEvent: {
    ...(name === undefined ? {} : { urn: machine(name) }),
    message,
    severity: severity as "info",
    ephemeral,
  },
});

describe("progress of a run", () => {
  it("is silent about steps of less than two seconds, but counts them", () => {
    const progress = new Progress({ expected: 2 });
    progress.take(begin("node1"), 0);
    expect(progress.tick(1.9)).toEqual([]);
    expect(progress.take(end("node1"), 1.9)).toBeUndefined();
    expect(progress.summary(2)).toBe("1 of 2 done");
    expect(progress.changes).toBe(1);
  });

  it("tells what runs, how long, its status and how much is left", () => {
    const progress = new Progress({ expected: 3 });
    progress.take(begin("node1"), 10);
    progress.take(begin("node2"), 10);
    progress.take(say("node2", "pulling\njoining\n"), 11);
    expect(progress.tick(12)).toEqual([
      "[   12s] Machine node1: creating (0 of 3 done)",
      "[   12s] Machine node2: creating, joining (0 of 3 done)",
    ]);
    expect(progress.tick(12.5)).toEqual([]);
    progress.take(say("node2", "waiting for the API server"), 13);
    expect(progress.tick(14)).toEqual([
      "[   14s] Machine node2: creating for 4 s, waiting for the API server (0 of 3 done)",
    ]);
    expect(progress.tick(20)).toEqual([]);
    expect(progress.tick(27)).toEqual(["[   27s] Machine node1: creating for 17 s (0 of 3 done)"]);
    expect(progress.take(end("node2"), 40)).toBe("[   40s] Machine node2: created in 30 s (1 of 3 done)");
    expect(progress.take(fail("node1"), 131)).toBe(
      "[ 2m11s] Machine node1: failed after 2 min (1 of 3 done)",
    );
  });

  it("estimates what is left from a former run, and goes on counting within a step", () => {
    const finished = { [machine("node1")]: 10, [machine("node2")]: 40, [machine("node3")]: 60 };
    const progress = new Progress({ former: { seconds: 60, finished } });
    expect(progress.summary(0)).toBe("0 of 3 done, about 60 s left");
    progress.take(begin("node1"), 0);
    progress.take(end("node1"), 20);
    expect(progress.summary(20)).toBe("1 of 3 done, about 50 s left");
    expect(progress.summary(30)).toBe("1 of 3 done, about 40 s left");
    expect(progress.summary(300)).toBe("1 of 3 done, about 1 s left");
  });

  it("estimates by count when there was none, once it has seen enough", () => {
    const progress = new Progress({ expected: 10 });
    for (const name of ["a", "b", "c", "d", "e"]) {
      progress.take(begin(name), 0);
      progress.take(end(name), 10);
    }
    expect(progress.summary(10)).toBe("5 of 10 done, about 10 s left");
  });

  it("never says more is done than there is", () => {
    const progress = new Progress({ expected: 1 });
    progress.take(begin("a"), 0);
    progress.take(end("a"), 1);
    progress.take(begin("b"), 1);
    expect(progress.summary(2)).toBe("1 of 2 done");
    expect(new Progress().summary(1)).toBe("0 done");
  });

  it("does not count components, providers and what changes nothing", () => {
    const progress = new Progress();
    progress.take({ timestamp: 0, resourcePreEvent: { metadata: step("c", "create", { new: {} }) } }, 0);
    progress.take(
      { timestamp: 0, resourcePreEvent: { metadata: { ...step("p"), type: "pulumi:providers:k" } } },
      0,
    );
    progress.take(begin("same", "same"), 0);
    expect(progress.tick(60)).toEqual([]);
    progress.take(end("same", "same"), 60);
    expect([progress.changes, progress.summary(61)]).toEqual([0, "1 done"]);
  });

  it("keeps when each step was finished, for later estimates", () => {
    const progress = new Progress();
    progress.take(begin("a"), 1);
    progress.take(end("a"), 2.345);
    expect(progress.timing(9.6)).toEqual({ seconds: 10, finished: { [machine("a")]: 2.3 } });
  });

  it("writes times and names as people do", () => {
    expect([clock(4.9), clock(125), seconds(99), seconds(130), seconds(4000)]).toEqual([
      "[    4s]",
      "[ 2m05s]",
      "99 s",
      "2 min",
      "1 h 7 min",
    ]);
    expect(resourceTitle(urn("kubernetes:apps/v1:Deployment", "mlflow"))).toBe("Deployment mlflow");
    expect(plainText("<{%fg 1%}>bad<{%reset%}> \u001b[31mred\u001b[0m")).toBe("bad red");
  });
});

describe("errors of a run", () => {
  function failuresOf(...events: EngineEvent[]) {
    const collector = new FailureCollector();
    const shown = events.map((event) => collector.take(event));
    return {
      text: formatFailures(collector.failures),
      shown: shown.filter((line) => line !== undefined),
      collector,
    };
  }
  const error = (message: string, name: string | undefined = "node2") => say(name, message, "error", false);

  it("are shown in full with the resource and a next step, each once", () => {
    const { text } = failuresOf(
      error("exit status 1:\nline 2"),
      error("exit status 1:\nline 2"),
      error("update failed", undefined),
    );
    expect(text).toBe(
      "Error in Machine node2:\n  exit status 1:\n  line 2\n  next: Correct what the message names and run the same command again: finished steps are kept.",
    );
  });

  it.each([
    ["write /var/lib/x: no space left on device", "The disk is full."],
    ["ENOSPC: write", "The disk is full."],
    ["Process exited with exit status 137", "Memory ran out."],
    ["container was OOMKilled", "Memory ran out."],
    ["the stack is currently locked by 1 lock(s)", "Another run holds the lock."],
    ["There is no bundle on this host", "Run: npm run bundle"],
    ["incorrect passphrase", "Set PULUMI_CONFIG_PASSPHRASE_FILE"],
    ['{"forbidden": {"message": "Quota exceeded for instances"}}', "A limit of the project is reached."],
    ["Error waiting for instance (1) to become ready: unexpected state 'ERROR'", "The cloud could not start"],
    ["Error creating OpenStack server: Internal Server Error", "A service of the cloud failed"],
    [
      "Error creating openstack_networking_port_v2: got 502, but got 502 instead",
      "A service of the cloud failed",
    ],
  ])("name the cause: %s", (message, next) => {
    expect(failuresOf(error(message)).text).toContain(`next: ${next}`);
  });

  it("of the OpenStack provider are told once, without its log", () => {
    const { text, shown } = failuresOf(
      error("sdk-v2/provider2.go:572: sdk.helper_schema: no room: provider=openstack@3.15.2"),
      error("1 error occurred:\n\t* no room\n\n"),
    );
    expect(shown).toEqual(["error: Machine node2: no room"]);
    expect(text).not.toContain("provider2.go");
  });

  it("of steps that Ctrl-C cut short are known as such", () => {
    const { collector } = failuresOf(
      error("create was cancelled: signal: terminated"),
      error("exit status 1"),
    );
    expect(collector.failures.map(isCancellation)).toEqual([true, false]);
  });

  it("are not made of statuses, warnings are told at once, the expected one never", () => {
    const { text, shown } = failuresOf(
      say("node1", "still joining", "error", true),
      say("node1", "deprecated", "warning", false),
      say(undefined, "using pulumi-resource-command from $PATH at /x", "warning", false),
      say(undefined, "printed by the program", "info", false),
    );
    expect(text).toBe("");
    expect(shown).toEqual(["warning: Machine node1: deprecated", "printed by the program"]);
  });

  it("that are lists are told by the first entry, cancellations not at all", () => {
    const { shown } = failuresOf(
      error("2 errors occurred:\n\t* not ready\n\t* no pods"),
      error("2 errors occurred:\n\t* operation was cancelled"),
    );
    expect(shown).toEqual(["error: Machine node2: not ready"]);
  });

  it("quote the beginning of a script only, and do not take its text for the cause", () => {
    const script = `# step join${" echo".repeat(40)} out of memory`;
    const { text } = failuresOf(
      error(`Process exited with status 1: running "${script}":\nno route to host`),
    );
    expect(text).toContain('running "# step join echo echo');
    expect(text).toContain('...":\n  no route to host\n  next: Correct what the message names');
  });

  it("are told at once by their first line, URNs shortened", () => {
    const { shown, text } = failuresOf(error(`resource "${machine("node9")}" was not created:\nat all`));
    expect(shown).toEqual(['error: Machine node2: resource "Machine node9" was not created:']);
    expect(text).toContain('resource "Machine node9" was not created:\n  at all');
  });
});

describe("changes of a preview", () => {
  const pre = (metadata: object): EngineEvent => ({
    timestamp: 0,
    resourcePreEvent: { metadata: metadata as never },
  });

  it("are one line each, replacements once, with what differs", () => {
    const collector = new ChangeCollector();
    collector.take(pre(step("node1", "same")));
    collector.take(
      pre(
        step("node2", "update", {
          diffs: ["memory"],
          detailedDiff: { "spec.memory": { diffKind: "update" } },
        }),
      ),
    );
    collector.take(pre(step("node3", "create-replacement")));
    collector.take(pre(step("node3", "replace", { keys: ["address"], diffs: ["address", "memory"] })));
    collector.take(pre(step("node3", "delete-replaced")));
    collector.take(pre(step("node4")));
    collector.take(pre({ ...step("p"), type: "pulumi:providers:kubernetes" }));
    expect(changesOf(collector)).toBe(
      [
        "  ~  update  Machine node2 (spec.memory)",
        "  +- replace Machine node3 (address, memory)",
        "  +  create  Machine node4",
        "1 to update, 1 to replace, 1 to create, 1 unchanged.",
      ].join("\n"),
    );
  });

  it("that a trigger asks for are told by the inputs that differ", () => {
    const collector = new ChangeCollector();
    const [old, present] = [
      { inputs: { imageName: "a", metadata: { role: "x" }, __defaults: [] } },
      { inputs: { imageName: "b", metadata: { role: "x" }, __defaults: ["y"] } },
    ];
    collector.take(pre(step("node1", "replace", { old, new: { ...present, custom: true } })));
    expect(collector.changes).toMatchObject([{ op: "replace", properties: ["imageName"] }]);
  });

  it("say so when there are none", () => {
    const collector = new ChangeCollector();
    collector.take(pre(step("node1", "same")));
    expect(changesOf(collector)).toBe("No changes: 1 resources are as the settings say.");
  });
});

describe("the event log", () => {
  it("is read as it grows, whole lines only", () => {
    const folder = mkdtempSync(join(tmpdir(), "gourmetgram-events-"));
    const path = join(folder, "events.jsonl");
    const reader = new EventLogReader(path);
    try {
      expect(reader.read()).toEqual([]);
      appendFileSync(path, '{"timestamp":1}\n{"timestamp":');
      expect(reader.read()).toEqual([{ timestamp: 1 }]);
      expect(reader.read()).toEqual([]);
      appendFileSync(path, '2}\n{"timestamp":3}\n');
      expect(reader.read()).toEqual([{ timestamp: 2 }, { timestamp: 3 }]);
      appendFileSync(path, 'torn":4}\n{"timestamp":5}\n');
      expect(reader.read()).toEqual([{ timestamp: 5 }]);
    } finally {
      reader.close();
      rmSync(folder, { recursive: true });
    }
  });
});

describe("news of builds", () => {
  let now = 0;
  let lines: string[] = [];
  let printer: StepPrinter;

  beforeEach(() => {
    now = 100;
    lines = [];
    printer = new StepPrinter(
      (line) => lines.push(line),
      () => now,
    );
  });

  afterEach(() => {
    printer.close();
  });

  const news = (step: string, state: "start" | "progress" | "done", message: string, more: object = {}) =>
    printer.report({ step, state, seconds: 0, message, ...more });

  it("are silent for what is quick", () => {
    news("quick", "start", "checking");
    now += 1.9;
    printer.tick();
    news("quick", "done", "checked");
    now += 60;
    printer.tick();
    expect(lines).toEqual([]);
  });

  it("tell what is long after two seconds and every ten, with what is left", () => {
    news("kubernetes", "start", "compiling", { remainingSeconds: 370 });
    now += 2;
    printer.tick();
    printer.tick();
    now += 5;
    news("kubernetes", "progress", "compiling 1 of 9", { remainingSeconds: 365 });
    printer.tick();
    now += 5;
    printer.tick();
    now += 300;
    news("kubernetes", "done", "compiled", { remainingSeconds: 0 });
    expect(lines).toEqual([
      "[    2s] kubernetes: compiling (about 6 min left)",
      "[   12s] kubernetes: compiling 1 of 9 (about 6 min left)",
      "[ 5m12s] kubernetes: done in 5 min",
    ]);
  });

  it("go on about a step that has told only once, such as waiting for another process", () => {
    news("toolchain", "progress", "waiting for process 12");
    for (let second = 0; second < 25; second += 1) {
      now += 1;
      printer.tick();
    }
    expect(lines).toEqual([
      "[    2s] toolchain: waiting for process 12",
      "[   12s] toolchain: waiting for process 12",
      "[   22s] toolchain: waiting for process 12",
    ]);
    news("kubernetes", "start", "compiling");
    now += 20;
    printer.tick();
    expect(lines.slice(3)).toEqual(["[   45s] kubernetes: compiling"]);
  });
});
