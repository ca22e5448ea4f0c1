import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix, relative } from "node:path";

/** The project's root folder. */
export const root = join(__dirname, "..", "..");

/** A TypeScript file of the project. */
export interface SourceFile {
  /** From the root, for example `k8s/platform/platform.ts`. */
  readonly path: string;
  /** First folder of the path. */
  readonly layer: string;
  readonly text: string;
  /** Project files it imports, from the root, without extension; what is only a type counts too. */
  readonly imports: readonly string[];
}

/** All TypeScript files below some top folders. */
export function sourceFiles(folders: readonly string[]): readonly SourceFile[] {
  return folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
      .map((entry) => relative(root, join(entry.parentPath, entry.name)))
      .filter((path) => !path.includes("node_modules"))
      .sort()
      .map(readSourceFile),
  );
}

function readSourceFile(path: string): SourceFile {
  const text = readFileSync(join(root, path), "utf8");
  const specifiers = [...text.matchAll(/(?:from|import|require\(|import\()\s*["'](\.[^"']+)["']/g)];
  return {
    path,
    layer: path.split("/")[0] ?? "",
    text,
    imports: specifiers.map(([, specifier]) => posix.normalize(posix.join(dirname(path), specifier ?? ""))),
  };
}

/** The text without comments and without what stands in quotes: what the program does, not what it says. */
export function codeOnly(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'/gm, "");
}

/** A glob of `**`, `*` and plain text as a regular expression over whole paths. */
export function globPattern(glob: string): RegExp {
  const parts = glob.split(/(\*\*\/|\*)/).map((part) => {
    if (part === "**/") return "(?:.*/)?";
    if (part === "*") return "[^/]*";
    return part.replace(/[.+^${}()|[\]\\]/g, "\\$&");
  });
  return new RegExp(`^${parts.join("")}$`);
}
