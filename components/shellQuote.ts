/** One shell word that stands for exactly `value`, whatever it holds: the only way a value enters a shell text. */
export function shellQuote(value: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`;
}
