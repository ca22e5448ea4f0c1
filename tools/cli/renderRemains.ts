import type { Remain } from "../../infra/openstack/audit";
import { renderTable } from "./table";

/** `Nothing of "x" is left ...` or a table. */
export function renderRemains(stack: string, remains: readonly Remain[]): string {
  if (remains.length === 0) return `Nothing of "${stack}" is left in the project.`;
  const rows = remains.map(({ kind, name, detail, foundBy }) => [kind, name, foundBy, detail]);
  return `${countOf(remains)} of "${stack}" in the project:\n${renderTable(["KIND", "NAME", "KNOWN BY", "DETAIL"], rows)}`;
}

export function countOf(remains: readonly Remain[]): string {
  return remains.length === 1 ? "1 thing" : `${remains.length} things`;
}
