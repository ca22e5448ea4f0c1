import type { Value } from "./reference";

/** Text of an image reference with a tag or a digest. */
export type ImageText = `${string}:${string}` | `${string}@sha256:${string}`;

/** The image a container runs: pinned text, or a reference that a step resolved to an immutable one. */
export type ImageRef = Value<ImageText>;

/** Tags that change what they point at. */
const FLOATING = [
  "latest",
  "main",
  "master",
  "stable",
  "edge",
  "nightly",
  "dev",
  "development",
  "rootless",
  "debug",
];

/** Why an image is not pinned, or `undefined` when it is: a digest, or a tag that stands for one content. */
export function imageProblem(image: string): string | undefined {
  if (/@sha256:[0-9a-f]{64}$/.test(image)) return undefined;
  if (image.includes("@")) return "has a digest that is not sha256 and 64 hexadecimal digits";
  const tag = /:([\w][\w.-]*)$/.exec(image.split("/").at(-1) ?? "")?.[1];
  if (tag === undefined) return "has neither tag nor digest";
  return FLOATING.includes(tag) ? `has the floating tag ${tag}` : undefined;
}
