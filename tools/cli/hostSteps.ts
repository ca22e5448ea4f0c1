import type { ExportedDeployment, ExportedResource } from "./pending";

/** The step that takes a machine which exists already and gives it back; its type alone is that of any remote command. */
const HOST_STEP =
  /\$gourmetgram:infra:HostsMachines\$gourmetgram:components:RemoteStep\$command:remote:Command::machines-(.+)$/;

/** The node whose machine, one that exists already, a URN is; `undefined` for everything else. */
export function hostOfUrn(urn: string): string | undefined {
  return HOST_STEP.exec(urn)?.[1];
}

type StoredStep = ExportedResource & {
  readonly inputs?: Readonly<Record<string, unknown>>;
  readonly outputs?: Readonly<Record<string, unknown>>;
};

/**
 * The state of an environment some of whose machines are gone for good: they are not given back, because nobody answers there any
 * more, and what is on them is given up.
 *
 * @returns `undefined` when it has no such machine
 */
export function withoutGivingBack(
  exported: ExportedDeployment,
  gone: readonly string[],
): ExportedDeployment | undefined {
  const isGone = ({ urn }: ExportedResource) => gone.includes(hostOfUrn(urn) ?? "");
  const resources = exported.deployment.resources ?? [];
  if (!resources.some(isGone)) return undefined;
  return {
    ...exported,
    deployment: {
      ...exported.deployment,
      resources: resources.map((resource) => (isGone(resource) ? withoutDelete(resource) : resource)),
    },
  };
}

function withoutDelete(step: StoredStep): StoredStep {
  const without = (properties: Readonly<Record<string, unknown>> = {}) =>
    Object.fromEntries(Object.entries(properties).filter(([name]) => name !== "delete"));
  return { ...step, inputs: without(step.inputs), outputs: without(step.outputs) };
}
