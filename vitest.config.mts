import { defineConfig } from "vitest/config";

// Errors of Output misuse become text that a test can find, instead of "[object Object]".
const env = { PULUMI_ERROR_OUTPUT_STRING: "1" };

const minute = 60_000;

/** One project per layer; a file belongs to exactly one, which test/conventions.test.ts holds. */
export default defineConfig({
  test: {
    projects: [
      { test: { name: "unit", env, include: ["test/unit/**/*.test.ts"], testTimeout: 20_000 } },
      {
        test: {
          name: "graph",
          env,
          include: ["test/graph/**/*.test.ts", "test/conventions.test.ts"],
          testTimeout: 30_000,
        },
      },
      { test: { name: "golden", env, include: ["test/golden/**/*.test.ts"], testTimeout: 30_000 } },
      {
        test: {
          name: "preview",
          env,
          include: ["test/preview/**/*.preview.test.ts"],
          testTimeout: 2 * minute,
          hookTimeout: 5 * minute,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: "e2e",
          env,
          include: ["test/e2e/**/*.e2e.test.ts"],
          testTimeout: 30 * minute,
          hookTimeout: 60 * minute,
          fileParallelism: false,
          // One environment at a time: files share the machine's memory, and an earlier failure explains a later one.
          sequence: { concurrent: false },
          bail: 0,
        },
      },
    ],
  },
});
