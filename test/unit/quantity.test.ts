import { describe, expect, it } from "vitest";
import { formatBytes, parseBytes } from "../../components/quantity";

describe("parseBytes", () => {
  it.each([
    ["1k", 1000],
    ["500M", 500e6],
    ["1Ki", 1024],
    ["4Gi", 4 * 2 ** 30],
    ["1.5Gi", 1.5 * 2 ** 30],
    ["2Ti", 2 * 2 ** 40],
  ])("%s is %i bytes", (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes);
  });

  it.each([
    "",
    "4",
    "4 Gi",
    "Gi",
    "-1Gi",
    "4GB",
    "4gi",
    "500m",
    "0Gi",
    "1e3",
    "9000Pi",
    "4Gi ",
  ])("%j is no amount of bytes with a unit", (text) => {
    expect(parseBytes(text)).toBeUndefined();
  });
});

describe("formatBytes", () => {
  it.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1536, "1.5 KiB"],
    [4 * 2 ** 30, "4 GiB"],
    [77.3 * 2 ** 30, "77 GiB"],
  ])("%i is %s", (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });
});
