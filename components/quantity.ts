/** A Kubernetes quantity with a unit: bytes (`2Gi`, `500M`) or CPU (`500m`). */
export type Quantity = string;

const BYTE_UNITS: Readonly<Record<string, number>> = {
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
};

/** The units `parseBytes` takes, in the order people read them. */
export const BYTE_UNIT_NAMES: readonly string[] = Object.keys(BYTE_UNITS);

/**
 * Bytes of a quantity such as `2Gi`, `1.5Gi` or `500M`.
 * Kubernetes also accepts a bare number; we do not, because `memory: 4` is always a forgotten unit.
 *
 * @returns whole bytes, or `undefined` when `text` is no positive quantity with a unit
 */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)([A-Za-z]+)$/.exec(text);
  const factor = BYTE_UNITS[match?.[2] ?? ""];
  if (match === null || factor === undefined) {
    return undefined;
  }
  const bytes = Math.round(Number(match[1]) * factor);
  return bytes > 0 && Number.isSafeInteger(bytes) ? bytes : undefined;
}

/**
 * CPUs of a quantity such as `500m`, `2` or `0.5`.
 *
 * @returns CPUs, or `undefined` when `text` is no positive amount
 */
export function parseCpu(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(m?)$/.exec(text);
  const cpus = match === null ? 0 : Number(match[1]) / (match[2] === "m" ? 1000 : 1);
  return cpus > 0 ? cpus : undefined;
}

/** Bytes as people read them, binary units, one decimal below ten: `1.5 GiB`, `37 GiB`, `412 MiB`. */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit > 0 && value < 10 && !Number.isInteger(value) ? 1 : 0;
  return `${value.toFixed(digits)} ${units[unit]}`;
}
