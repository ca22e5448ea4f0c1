export {
  type Bundle,
  type BundleOptions,
  ensureArtifact,
  ensureBundle,
  locateBundle,
  verifyBundle,
} from "./bundle";
export { type BundlePlan, planBundle } from "./plan";
export { formatEvent, formatSeconds, type ProgressEvent, type Report } from "./progress";
