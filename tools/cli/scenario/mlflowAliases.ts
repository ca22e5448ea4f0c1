import { CommandError } from "../commandError";
import type { KubeClient } from "../kubeClient";
import { MODEL_NAME } from "../pipeline";

const NAMESPACE = "gourmetgram-platform";
const SERVICE = "mlflow";
const PORT = 8000;

/** Longest time until a port is forwarded, and until MLflow answers. */
const FORWARD_MS = 20_000;
const ANSWER_MS = 30_000;

export type Aliases = Readonly<Record<string, string>>;

/** The aliases of the model, by name, each with its version; none while there is no such model. */
export async function readAliases(
  client: KubeClient,
  login: { readonly username: string; readonly password: string },
): Promise<Aliases> {
  return await withForward(client, async (port) => {
    const url = `http://127.0.0.1:${port}/api/2.0/mlflow/registered-models/get?name=${MODEL_NAME}`;
    const authorization = `Basic ${Buffer.from(`${login.username}:${login.password}`).toString("base64")}`;
    const response = await fetch(url, { headers: { authorization }, signal: AbortSignal.timeout(ANSWER_MS) });
    const text = await response.text();
    return parseAliases(response.status, text);
  });
}

/** @throws CommandError when it is no answer of MLflow's model registry */
export function parseAliases(status: number, text: string): Aliases {
  let body: {
    error_code?: string;
    registered_model?: { aliases?: readonly { alias: string; version: string }[] };
  };
  try {
    body = JSON.parse(text) as typeof body;
  } catch {
    body = {};
  }
  if (body.error_code === "RESOURCE_DOES_NOT_EXIST") {
    return {};
  }
  if (status !== 200 || body.registered_model === undefined) {
    throw new CommandError(`MLflow did not say what its aliases are: HTTP ${status}, ${text.slice(0, 200)}`);
  }
  return Object.fromEntries(
    (body.registered_model.aliases ?? []).map(({ alias, version }) => [alias, String(version)]),
  );
}

/** Does something while a local port leads to MLflow, however the service is exposed. */
async function withForward<T>(client: KubeClient, work: (port: number) => Promise<T>): Promise<T> {
  const child = client.start(["--namespace", NAMESPACE, "port-forward", `service/${SERVICE}`, `:${PORT}`]);
  const end = () => void child.kill("SIGTERM");
  process.on("exit", end);
  try {
    const port = await new Promise<number>((settle, reject) => {
      let said = "";
      const fail = (why: string) =>
        reject(new CommandError(`MLflow cannot be reached through the cluster: ${why} ${said.trim()}`));
      const timer = setTimeout(() => fail("no port was forwarded in time."), FORWARD_MS);
      child.stdout?.setEncoding("utf8").on("data", (text: string) => {
        const found = /Forwarding from 127\.0\.0\.1:(\d+)/.exec(text)?.[1];
        if (found !== undefined) {
          clearTimeout(timer);
          settle(Number(found));
        }
      });
      child.stderr?.setEncoding("utf8").on("data", (text: string) => {
        said += text;
      });
      child.on("error", (error) => fail(error.message));
      child.on("close", () => {
        clearTimeout(timer);
        fail("the forwarding ended.");
      });
    });
    return await work(port);
  } finally {
    process.off("exit", end);
    end();
  }
}
