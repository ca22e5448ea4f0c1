/**
 * Waits for all properties at the same time.
 *
 * @returns the same properties with what was waited for
 * @throws whatever the first of them that fails does
 */
export async function atOnce<T extends Readonly<Record<string, unknown>>>(
  waiting: {
    readonly [K in keyof T]: Promise<T[K]> | T[K];
  },
): Promise<T> {
  const entries = Object.entries(waiting).map(async ([key, value]) => [key, await value] as const);
  return Object.fromEntries(await Promise.all(entries)) as T;
}
