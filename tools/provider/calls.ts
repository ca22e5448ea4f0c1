import { changedFields, checkFields, consequenceOf, containsUnknown, type FieldFailure } from "./fields";
import type { CallContext, Properties, ResourceKind } from "./resourceKind";
import { UNKNOWN, unwrapSecrets, wrapSecrets } from "./values";

/** What the engine calls, on plain objects; the gRPC layer around it only converts messages. */

export interface Difference {
  /** Per property: what happens, and whether an input or the real thing caused it. */
  readonly properties: Readonly<Record<string, { action: "update" | "replace"; input: boolean }>>;
  readonly deleteBeforeReplace: boolean;
}

export function checkCall(
  kind: ResourceKind,
  given: Properties,
): { inputs: Properties; failures: readonly FieldFailure[] } {
  const { plain, secretKeys } = unwrapSecrets(given);
  const { inputs, failures } = checkFields(kind.fields, plain);
  return { inputs: wrapSecrets(inputs, secretKeys), failures };
}

export async function diffCall(
  kind: ResourceKind,
  oldState: Properties,
  oldInputs: Properties,
  newInputs: Properties,
  context: CallContext,
): Promise<Difference> {
  const state = unwrapSecrets(oldState).plain;
  const inputs = unwrapSecrets(oldInputs).plain;
  const changed = changedFields(kind.fields, state, inputs, unwrapSecrets(newInputs).plain);
  const properties: Record<string, { action: "update" | "replace"; input: boolean }> = {};
  for (const drift of (await kind.drift?.(state, context)) ?? []) {
    properties[drift.property] = { action: drift.action, input: false };
    context.info(drift.reason);
  }
  for (const [property, action] of Object.entries(changed)) properties[property] = { action, input: true };
  return { properties, deleteBeforeReplace: kind.deleteBeforeReplace ?? false };
}

export async function createCall(
  kind: ResourceKind,
  given: Properties,
  preview: boolean,
  context: CallContext,
): Promise<{ id: string; state: Properties }> {
  const { plain, secretKeys } = unwrapSecrets(given);
  if (preview) {
    const unknown = Object.fromEntries(kind.outputs.map((output) => [output, UNKNOWN]));
    return { id: "", state: wrapSecrets({ ...plain, ...unknown }, secretKeys) };
  }
  const { id, outputs } = await kind.create(plain, context);
  return { id, state: markSecrets(kind, { ...plain, ...outputs }, secretKeys) };
}

export async function updateCall(
  kind: ResourceKind,
  oldState: Properties,
  given: Properties,
  preview: boolean,
  context: CallContext,
): Promise<Properties> {
  const state = unwrapSecrets(oldState).plain;
  const { plain, secretKeys } = unwrapSecrets(given);
  const kept = Object.fromEntries(
    Object.entries(kind.fields)
      .filter(([name, field]) => consequenceOf(field, state[name], plain[name]) === "keep")
      .filter(([name]) => state[name] !== undefined)
      .map(([name]) => [name, state[name]]),
  );
  if (preview || containsUnknown(plain)) {
    const renewed = Object.fromEntries((kind.renewedByUpdate ?? []).map((output) => [output, UNKNOWN]));
    return markSecrets(kind, { ...state, ...plain, ...kept, ...renewed }, secretKeys);
  }
  if (kind.update === undefined) throw new Error("This kind of resource cannot be changed in place.");
  const outputs = await kind.update(state, plain, context);
  return markSecrets(kind, { ...state, ...plain, ...kept, ...outputs }, secretKeys);
}

/** Empty state when the thing is gone. An import (no state, only an id) is refused: nothing can be read back from a name. */
export async function readCall(
  kind: ResourceKind,
  given: Properties,
  context: CallContext,
): Promise<{ state: Properties; inputs: Properties } | undefined> {
  const { plain, secretKeys } = unwrapSecrets(given);
  if (kind.outputs.some((output) => plain[output] === undefined)) {
    throw new Error("This kind of resource cannot be imported: it only exists together with its state.");
  }
  const state = kind.read === undefined ? plain : await kind.read(plain, context);
  if (state === undefined) return undefined;
  const inputs = Object.fromEntries(Object.keys(kind.fields).map((field) => [field, state[field]]));
  return { state: markSecrets(kind, state, secretKeys), inputs: wrapSecrets(inputs, secretKeys) };
}

export async function deleteCall(
  kind: ResourceKind,
  oldState: Properties,
  context: CallContext,
): Promise<void> {
  await kind.delete?.(unwrapSecrets(oldState).plain, context);
}

function markSecrets(kind: ResourceKind, state: Properties, secretInputs: readonly string[]): Properties {
  return wrapSecrets(state, new Set([...kind.secretOutputs, ...secretInputs]));
}
