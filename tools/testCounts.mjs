#!/usr/bin/env node
// Prints how many tests of each layer ran, from vitest's JSON reports, and a closing line; no end-to-end test is a failure.
// Usage: node tools/testCounts.mjs REPORT...
import { readFileSync } from "node:fs";

/** Layer of a test file: its folder below test/; what lies in test/ itself is checked with the graph. */
export function layerOf(file) {
  const [, folder] = /\/test\/([^/]+)\//.exec(file) ?? [];
  return folder ?? "graph";
}

/** Tests by layer and by result. */
export function countTests(reports) {
  const layers = {};
  for (const { name, assertionResults } of reports.flatMap((report) => report.testResults)) {
    const key = layerOf(name);
    layers[key] ??= { passed: 0, failed: 0, skipped: 0 };
    for (const { status } of assertionResults) {
      layers[key][status === "passed" || status === "failed" ? status : "skipped"] += 1;
    }
  }
  return layers;
}

function main(paths) {
  const layers = countTests(paths.map((path) => JSON.parse(readFileSync(path, "utf8"))));
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const [layer, counts] of Object.entries(layers)) {
    process.stdout.write(
      `${layer.padEnd(8)} ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped (tests)\n`,
    );
    for (const result of Object.keys(total)) total[result] += counts[result];
  }
  process.stdout.write(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
  if (!layers.e2e?.passed) {
    process.stderr.write("no end-to-end test ran\n");
    process.exitCode = 1;
  }
}

if (process.argv[1]?.endsWith("testCounts.mjs")) main(process.argv.slice(2));
