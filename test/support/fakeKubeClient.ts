import type { ChildProcess } from "node:child_process";
import { type KubeClient, KubectlError } from "../../tools/cli/kubeClient";

/** A Kubernetes object as JSON; tests look into it freely. */
export type FakeObject = {
  metadata: { name: string; namespace?: string; [more: string]: any };
  [more: string]: any;
};

/**
 * A cluster of plain objects behind kubectl's arguments: `get` (one, a list, `--raw`), `create` and `patch --type json`. Label selectors
 * are ignored unless `select` says otherwise; what is not there is NotFound, as the API server has it.
 */
export class FakeKubeClient implements KubeClient {
  /** Every call, as words. */
  readonly calls: string[][] = [];
  /** Called before each answer; may throw a fault or change the objects. */
  before: (args: readonly string[]) => void = () => {};
  /** Answers of `get --raw` by path. */
  readonly raw: Record<string, () => string> = {};
  private serial = 0;

  /** @param objects by kubectl's name of their kind */
  constructor(readonly objects: Record<string, FakeObject[]> = {}) {}

  async run(args: readonly string[], input?: string): Promise<string> {
    this.calls.push([...args]);
    this.before(args);
    const namespace = optionOf(args, "--namespace");
    const words = positional(args);
    const [verb, kind = "", name] = words;
    if (verb === "get" && args.includes("--raw")) {
      const answer = this.raw[optionOf(args, "--raw") ?? ""];
      if (answer === undefined) throw fault(args, "Error from server (NotFound): no such path");
      return answer();
    }
    if (verb === "get") {
      const found = this.list(kind, namespace);
      if (name === undefined) return JSON.stringify({ items: found });
      return JSON.stringify(this.one(args, kind, name, namespace));
    }
    if (verb === "create") {
      const object = JSON.parse(input ?? "{}") as FakeObject & { kind: string };
      this.serial += 1;
      object.metadata.name ??= `${object.metadata["generateName"]}${this.serial}`;
      const plural = KINDS[object.kind] ?? object.kind;
      this.objects[plural] = [...(this.objects[plural] ?? []), object];
      return JSON.stringify(object);
    }
    if (verb === "patch") {
      const object = this.one(args, kind, name ?? "", namespace);
      applyJsonPatch(args, object, JSON.parse(optionOf(args, "--patch") ?? "[]"));
      return "patched";
    }
    throw new Error(`the fake knows no: ${args.join(" ")}`);
  }

  start(): ChildProcess {
    throw new Error("the fake starts nothing");
  }

  private list(kind: string, namespace: string | undefined): FakeObject[] {
    return (this.objects[kind] ?? []).filter(
      ({ metadata }) =>
        namespace === undefined || metadata.namespace === undefined || metadata.namespace === namespace,
    );
  }

  private one(
    args: readonly string[],
    kind: string,
    name: string,
    namespace: string | undefined,
  ): FakeObject {
    const found = this.list(kind, namespace).find(({ metadata }) => metadata.name === name);
    if (found === undefined) {
      throw fault(args, `Error from server (NotFound): ${kind} "${name}" not found`);
    }
    return found;
  }
}

const KINDS: Readonly<Record<string, string>> = {
  Workflow: "workflows.argoproj.io",
  LedgerEntry: "ledgerentries.gourmetgram.dev",
};

/** What kubectl says and how it ends when the API server refuses. */
export function fault(args: readonly string[], stderr: string): KubectlError {
  return new KubectlError(args, 1, stderr);
}

const WITH_VALUE = ["--namespace", "--output", "--selector", "--filename", "--type", "--patch", "--raw"];

function positional(args: readonly string[]): string[] {
  return args.filter((word, index) => !word.startsWith("--") && !WITH_VALUE.includes(args[index - 1] ?? ""));
}

function optionOf(args: readonly string[], option: string): string | undefined {
  const index = args.indexOf(option);
  return index < 0 ? undefined : args[index + 1];
}

function applyJsonPatch(
  args: readonly string[],
  object: FakeObject,
  patch: readonly { op: string; path: string; value: unknown }[],
): void {
  const copy = structuredClone(object);
  for (const { op, path, value } of patch) {
    const keys = path
      .slice(1)
      .split("/")
      .map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
    const last = keys.pop() ?? "";
    const parent = keys.reduce<any>((inner, key) => inner[key], copy);
    if (op === "test" && parent[last] !== value) {
      throw fault(
        args,
        "The request is invalid: the server rejected our request due to an error in our request",
      );
    }
    if (op === "add") parent[last] = value;
  }
  Object.assign(object, copy);
}
