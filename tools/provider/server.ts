import * as grpc from "@grpc/grpc-js";
import * as engineRpc from "@pulumi/pulumi/proto/engine_grpc_pb";
import * as engineProto from "@pulumi/pulumi/proto/engine_pb";
import * as pluginProto from "@pulumi/pulumi/proto/plugin_pb";
import * as providerRpc from "@pulumi/pulumi/proto/provider_grpc_pb";
import * as proto from "@pulumi/pulumi/proto/provider_pb";
import { Empty } from "google-protobuf/google/protobuf/empty_pb";
import { type JavaScriptValue, Struct } from "google-protobuf/google/protobuf/struct_pb";
import { checkCall, createCall, deleteCall, diffCall, readCall, updateCall } from "./calls";
import type { CallContext, Properties, ResourceKind } from "./resourceKind";

/** Messages hold whole bundles of keys; the engine itself allows 400 MiB. */
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

type Kinds = Readonly<Record<string, () => ResourceKind>>;
type Reply<T> = grpc.sendUnaryData<T>;

/**
 * Serves the provider protocol and prints the port, as the engine expects.
 * `@pulumi/pulumi/provider` would do the same without detailed diffs, previews of outputs, and messages for the user.
 */
export async function serve(kinds: Kinds, version: string, engineAddress: string | undefined): Promise<void> {
  const server = new grpc.Server({ "grpc.max_receive_message_length": MAX_MESSAGE_BYTES });
  server.addService(providerRpc.ResourceProviderService, makeService(kinds, version, engineAddress));
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  process.stdout.write(`${port}\n`);
  endWithParent();
}

/** Calls that are being answered. */
let callsInProgress = 0;

/**
 * Ends this process after the engine that started it is gone, as a killed one cannot ask for it; what is being made is finished
 * first, so that nothing half-made stays.
 */
function endWithParent(): void {
  const engine = process.ppid;
  setInterval(() => {
    if (process.ppid !== engine && callsInProgress === 0) process.exit(0);
  }, 1000).unref();
}

function makeService(kinds: Kinds, version: string, firstEngineAddress: string | undefined) {
  const engine = new EngineLog(firstEngineAddress);

  const kindOf = (urn: string): ResourceKind => {
    const type = urn.split("::")[2]?.split("$").at(-1) ?? "";
    const kind = kinds[type];
    if (kind === undefined) {
      throw new Error(
        `Unknown resource type ${type}; this provider has ${Object.keys(kinds).join(", ")}. Was it built from this checkout?`,
      );
    }
    return kind();
  };

  /** Turns an async function into a gRPC handler whose errors reach the user as their message alone. */
  const answer =
    <Request, Response>(work: (request: Request) => Promise<Response>) =>
    (call: { request: Request }, reply: Reply<Response>): void => {
      callsInProgress += 1;
      const answered = work(call.request).finally(() => {
        callsInProgress -= 1;
      });
      answered.then(
        (response) => reply(null, response),
        (error: unknown) => {
          const message = error instanceof Error ? error.message : String(error);
          reply({ code: grpc.status.UNKNOWN, details: message });
        },
      );
    };

  return {
    getPluginInfo: answer(async () => {
      const info = new pluginProto.PluginInfo();
      info.setVersion(version);
      return info;
    }),
    getSchema: answer(async () => {
      const response = new proto.GetSchemaResponse();
      response.setSchema(JSON.stringify({ name: "gourmetgram", version }));
      return response;
    }),
    attach: answer(async (request: pluginProto.PluginAttach) => {
      engine.attach(request.getAddress());
      return new Empty();
    }),
    cancel: answer(async () => new Empty()),
    configure: answer(async () => {
      const response = new proto.ConfigureResponse();
      response.setAcceptsecrets(true);
      response.setSupportspreview(true);
      return response;
    }),

    check: answer(async (request: proto.CheckRequest) => {
      const { inputs, failures } = checkCall(kindOf(request.getUrn()), read(request.getNews()));
      const response = new proto.CheckResponse();
      response.setInputs(struct(inputs));
      response.setFailuresList(
        failures.map(({ property, reason }) => {
          const failure = new proto.CheckFailure();
          failure.setProperty(property);
          failure.setReason(reason);
          return failure;
        }),
      );
      return response;
    }),

    diff: answer(async (request: proto.DiffRequest) => {
      const difference = await diffCall(
        kindOf(request.getUrn()),
        read(request.getOlds()),
        read(request.getOldInputs()),
        read(request.getNews()),
        engine.context(request.getUrn()),
      );
      return diffResponse(
        difference.properties,
        difference.deleteBeforeReplace,
        request.getIgnorechangesList(),
      );
    }),

    create: answer(async (request: proto.CreateRequest) => {
      const { id, state } = await createCall(
        kindOf(request.getUrn()),
        read(request.getProperties()),
        request.getPreview(),
        engine.context(request.getUrn()),
      );
      const response = new proto.CreateResponse();
      response.setId(id);
      response.setProperties(struct(state));
      return response;
    }),

    read: answer(async (request: proto.ReadRequest) => {
      const found = await readCall(
        kindOf(request.getUrn()),
        read(request.getProperties()),
        engine.context(request.getUrn()),
      );
      const response = new proto.ReadResponse();
      if (found !== undefined) {
        response.setId(request.getId());
        response.setProperties(struct(found.state));
        response.setInputs(struct(found.inputs));
      }
      return response;
    }),

    update: answer(async (request: proto.UpdateRequest) => {
      const state = await updateCall(
        kindOf(request.getUrn()),
        read(request.getOlds()),
        read(request.getNews()),
        request.getPreview(),
        engine.context(request.getUrn()),
      );
      const response = new proto.UpdateResponse();
      response.setProperties(struct(state));
      return response;
    }),

    delete: answer(async (request: proto.DeleteRequest) => {
      await deleteCall(
        kindOf(request.getUrn()),
        read(request.getProperties()),
        engine.context(request.getUrn()),
      );
      return new Empty();
    }),
  };
}

function diffResponse(
  properties: Readonly<Record<string, { action: "update" | "replace"; input: boolean }>>,
  deleteBeforeReplace: boolean,
  ignored: readonly string[],
): proto.DiffResponse {
  const entries = Object.entries(properties).filter(([property]) => !ignored.includes(property));
  const response = new proto.DiffResponse();
  response.setChanges(
    entries.length > 0 ? proto.DiffResponse.DiffChanges.DIFF_SOME : proto.DiffResponse.DiffChanges.DIFF_NONE,
  );
  response.setDiffsList(entries.map(([property]) => property));
  response.setReplacesList(
    entries.filter(([, { action }]) => action === "replace").map(([property]) => property),
  );
  response.setDeletebeforereplace(deleteBeforeReplace);
  response.setHasdetaileddiff(true);
  for (const [property, { action, input }] of entries) {
    const detail = new proto.PropertyDiff();
    detail.setKind(
      action === "replace" ? proto.PropertyDiff.Kind.UPDATE_REPLACE : proto.PropertyDiff.Kind.UPDATE,
    );
    detail.setInputdiff(input);
    response.getDetaileddiffMap().set(property, detail);
  }
  return response;
}

function read(message: Struct | undefined): Properties {
  return (message?.toJavaScript() ?? {}) as Properties;
}

function struct(properties: Properties): Struct {
  return Struct.fromJavaScript(properties as Record<string, JavaScriptValue>);
}

/** Messages to the user through the engine. Losing one is no reason to fail. */
class EngineLog {
  private client: engineRpc.EngineClient | undefined;

  constructor(private address: string | undefined) {}

  attach(address: string): void {
    this.address = address;
    this.client = undefined;
  }

  context(urn: string): CallContext {
    return {
      urn,
      progress: (message) => this.send(urn, message, true),
      info: (message) => this.send(urn, message, false),
    };
  }

  private send(urn: string, message: string, ephemeral: boolean): void {
    if (this.address === undefined) return;
    this.client ??= new engineRpc.EngineClient(this.address, grpc.credentials.createInsecure());
    const request = new engineProto.LogRequest();
    request.setSeverity(engineProto.LogSeverity.INFO);
    request.setUrn(urn);
    request.setMessage(message);
    request.setEphemeral(ephemeral);
    this.client.log(request, () => undefined);
  }
}
