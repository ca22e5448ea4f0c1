export {
  type Bundle,
  type BundleOptions,
  type BundlePlan,
  ensureArtifact,
  ensureBundle,
  locateBundle,
  planBundle,
  verifyBundle,
} from "./bundle";
export { formatEvent, formatSeconds, type ProgressEvent, type Report } from "./progress";
