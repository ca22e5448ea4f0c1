import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import * as grpc from "@grpc/grpc-js";
import * as providerRpc from "@pulumi/pulumi/proto/provider_grpc_pb";
import * as proto from "@pulumi/pulumi/proto/provider_pb";
import { Struct } from "google-protobuf/google/protobuf/struct_pb";

type Properties = Record<string, unknown>;

/** Talks to the project's provider as the engine does: the real executable, the real protocol. */
export class ProviderClient {
  private constructor(
    readonly process: ChildProcess,
    private readonly client: providerRpc.ResourceProviderClient,
    private readonly stack: string,
    /** Milliseconds from start to the port number. */
    readonly startMilliseconds: number,
  ) {}

  /** @param env added to the environment of the provider */
  static async start(stack = "test", env: Record<string, string> = {}): Promise<ProviderClient> {
    const began = performance.now();
    const executable = resolve(__dirname, "../../tools/provider/pulumi-resource-gourmetgram");
    const child = spawn(executable, [], {
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "inherit"],
      // An own process group, so that a test can kill the provider and its scripts at once.
      detached: true,
    });
    const [line] = (await once(child.stdout as NodeJS.ReadableStream, "data")) as [Buffer];
    const took = performance.now() - began;
    const client = new providerRpc.ResourceProviderClient(
      `127.0.0.1:${line.toString().trim()}`,
      grpc.credentials.createInsecure(),
    );
    return new ProviderClient(child, client, stack, took);
  }

  urn(type: string, name: string): string {
    return `urn:pulumi:${this.stack}::gourmetgram-infra::${type}::${name}`;
  }

  async check(type: string, inputs: Properties): Promise<{ inputs: Properties; failures: string[] }> {
    const request = new proto.CheckRequest();
    request.setUrn(this.urn(type, "it"));
    request.setNews(struct(inputs));
    const response = await this.call<proto.CheckResponse>("check", request);
    return {
      inputs: plain(response.getInputs()),
      failures: response.getFailuresList().map((failure) => failure.getReason()),
    };
  }

  async create(
    type: string,
    inputs: Properties,
    preview = false,
  ): Promise<{ id: string; state: Properties }> {
    const request = new proto.CreateRequest();
    request.setUrn(this.urn(type, "it"));
    request.setProperties(struct(inputs));
    request.setPreview(preview);
    const response = await this.call<proto.CreateResponse>("create", request);
    return { id: response.getId(), state: plain(response.getProperties()) };
  }

  /** Changed properties with what happens to each. */
  async diff(
    type: string,
    state: Properties,
    oldInputs: Properties,
    news: Properties,
  ): Promise<Record<string, "update" | "replace">> {
    const request = new proto.DiffRequest();
    request.setUrn(this.urn(type, "it"));
    request.setOlds(struct(state));
    request.setOldInputs(struct(oldInputs));
    request.setNews(struct(news));
    const response = await this.call<proto.DiffResponse>("diff", request);
    const replaces = response.getReplacesList();
    return Object.fromEntries(
      response
        .getDiffsList()
        .map((property) => [property, replaces.includes(property) ? "replace" : "update"]),
    );
  }

  /** `undefined` when the thing is gone. */
  async read(type: string, id: string, state: Properties): Promise<Properties | undefined> {
    const request = new proto.ReadRequest();
    request.setUrn(this.urn(type, "it"));
    request.setId(id);
    request.setProperties(struct(state));
    const response = await this.call<proto.ReadResponse>("read", request);
    return response.getId() === "" ? undefined : plain(response.getProperties());
  }

  async update(type: string, state: Properties, news: Properties, preview = false): Promise<Properties> {
    const request = new proto.UpdateRequest();
    request.setUrn(this.urn(type, "it"));
    request.setOlds(struct(state));
    request.setNews(struct(news));
    request.setPreview(preview);
    return plain((await this.call<proto.UpdateResponse>("update", request)).getProperties());
  }

  async delete(type: string, id: string, state: Properties): Promise<void> {
    const request = new proto.DeleteRequest();
    request.setUrn(this.urn(type, "it"));
    request.setId(id);
    request.setProperties(struct(state));
    await this.call("delete", request);
  }

  /** Ends the provider; `hard` ends everything it started as well, as a power cut would. */
  async stop(hard = false): Promise<void> {
    this.client.close();
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const ended = once(this.process, "exit");
    process.kill(hard ? -(this.process.pid as number) : (this.process.pid as number), "SIGKILL");
    await ended;
  }

  private call<Response>(method: string, request: unknown): Promise<Response> {
    return new Promise((done, fail) => {
      const client = this.client as unknown as Record<
        string,
        (request: unknown, reply: (error: grpc.ServiceError | null, response: Response) => void) => void
      >;
      client[method]?.(request, (error, response) =>
        error === null ? done(response) : fail(new Error(error.details)),
      );
    });
  }
}

function struct(properties: Properties): Struct {
  return Struct.fromJavaScript(properties as never);
}

function plain(message: Struct | undefined): Properties {
  return (message?.toJavaScript() ?? {}) as Properties;
}
