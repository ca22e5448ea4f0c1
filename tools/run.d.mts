/** Types of the parts of run.mjs that tests use; run.mjs itself is plain JavaScript so that Node starts it as it is. */
interface PackageLock {
  readonly packages?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}
interface Step {
  readonly name: string;
  readonly file?: string;
  readonly args?: readonly string[];
  /** The file is a bash script. */
  readonly bash?: boolean;
  readonly shellcheck?: boolean;
}
export function nodeProblem(version: string): string | undefined;
export function installedMatches(lock: PackageLock, installed: PackageLock): boolean;
export function installReason(root: string): string | undefined;
export function sourceFingerprint(root: string): string;
export function staleOutputs(root: string): string[];
export function planCommand(
  command: string,
  args: readonly string[],
):
  | { readonly compile: boolean; readonly cli?: readonly string[]; readonly steps: readonly Step[] }
  | undefined;
