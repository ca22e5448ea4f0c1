import type { Field } from "./fields";

/** Plain property values, secrets unwrapped; an unknown value of a preview is `UNKNOWN`. */
export type Properties = Readonly<Record<string, unknown>>;

/** What a resource kind may know about the call it answers. */
export interface CallContext {
  readonly urn: string;
  /** Shown beside the resource while the call lasts, then forgotten. */
  progress(message: string): void;
  /** Shown in the diagnostics of the run. */
  info(message: string): void;
}

/** One reason why the real thing differs from its state although no input changed. */
export interface Drift {
  /** Output property named in the diff. */
  readonly property: string;
  readonly action: "update" | "replace";
  /** A sentence for the user. */
  readonly reason: string;
}

/**
 * One kind of resource. `fields` gives its inputs; checking, defaults and the diff of inputs follow from them, the
 * kind adds what only it can know.
 */
export interface ResourceKind {
  readonly fields: Readonly<Record<string, Field>>;
  /** Outputs that are computed, not inputs. Unknown in the preview of a creation. */
  readonly outputs: readonly string[];
  /** Outputs that an update computes anew, besides the changed inputs. @default none: an update keeps them all */
  readonly renewedByUpdate?: readonly string[];
  readonly secretOutputs: readonly string[];
  /** Old and new cannot exist side by side. @default false */
  readonly deleteBeforeReplace?: boolean;

  create(inputs: Properties, context: CallContext): Promise<{ id: string; outputs: Properties }>;
  /** Looks at the real thing. Only called with a complete state. @default no drift */
  drift?(state: Properties, context: CallContext): Promise<readonly Drift[]>;
  /** Current state, or `undefined` when the thing is gone. @default the state as it is */
  read?(state: Properties, context: CallContext): Promise<Properties | undefined>;
  /**
   * Must exist when a field or a drift has the action "update". Returns the computed outputs. `inputs` are all new ones; of those
   * with "keep" the state keeps the old value unless the update returns another.
   */
  update?(state: Properties, inputs: Properties, context: CallContext): Promise<Properties>;
  /** @default nothing to do: the thing lives in the state only */
  delete?(state: Properties, context: CallContext): Promise<void>;
}
