import { parseBytes, type Quantity } from "../../components/quantity";

const FAMILIES = {
  binary: { base: 1024, units: ["", "Ki", "Mi", "Gi", "Ti", "Pi"] },
  decimal: { base: 1000, units: ["", "k", "M", "G", "T", "P"] },
} as const;

/**
 * The same amount as the API server writes it: `1024Mi` becomes `1Gi`, `0.5Gi` becomes `512Mi`. Any other spelling would
 * come back changed, and look like a change made by hand.
 *
 * @throws Error when `text` is no quantity with a unit
 */
export function canonicalQuantity(text: Quantity): Quantity {
  let amount = parseBytes(text);
  if (amount === undefined)
    throw new Error(`${JSON.stringify(text)} is no size with a unit, for example 5Gi`);
  const { base, units } = text.endsWith("i") ? FAMILIES.binary : FAMILIES.decimal;
  let unit = 0;
  while (amount % base === 0 && unit < units.length - 1) {
    amount /= base;
    unit += 1;
  }
  return `${amount}${units[unit]}`;
}
