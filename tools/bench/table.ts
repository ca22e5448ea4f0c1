/** One line of the table; the median of the values is what counts. */
export interface Measurement {
  readonly what: string;
  readonly values: readonly number[];
  readonly unit: string;
  /** The median may not be larger. @default none: shown for information */
  readonly bar?: number;
}

/** The middle value; of an even number, the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 === 1
    ? (sorted[Math.floor(middle)] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

/** True when there is a bar and the median is above it. */
export function missesBar({ values, bar }: Measurement): boolean {
  return bar !== undefined && median(values) > bar;
}

/** A Markdown table: what, median, lowest to highest, bar and whether it is met. */
export function renderTable(rows: readonly Measurement[]): string {
  const lines = rows.map((row) => {
    const { what, values, unit, bar } = row;
    const middle = median(values);
    const spread =
      values.length > 1 ? `${Math.min(...values).toFixed(2)} - ${Math.max(...values).toFixed(2)}` : "";
    const verdict = bar === undefined ? "" : `<= ${bar} ${unit}: ${missesBar(row) ? "MISSED" : "met"}`;
    return `| ${what} | ${middle.toFixed(2)} ${unit} | ${spread} | ${verdict} |`;
  });
  return ["| what | median | lowest - highest | bar |", "|---|---|---|---|", ...lines].join("\n");
}
