import { createRequire } from "node:module";

/**
 * Loads later what the SDK loads at start and nothing here uses: npm's dependency resolver, for programs that serialize functions. It is
 * 440 of the program's modules and a quarter of its start. Must come before the first import of the SDK.
 */
loadOnUse("@pulumi/pulumi", "@npmcli/arborist", ["Arborist"]);

/**
 * Puts something in the place of a module that loads the module once one of its exports is asked for.
 *
 * @param sdk the package that depends on it
 * @param names what the package takes from it
 */
function loadOnUse(sdk: string, module: string, names: readonly string[]): void {
  const requireThere = createRequire(require.resolve(sdk));
  const path = resolveThere(requireThere, module);
  // Another version of the SDK may do without it.
  if (path === undefined || require.cache[path] !== undefined) return;
  const load = (name: string) => () => {
    if (require.cache[path]?.exports === placeholder) delete require.cache[path];
    return (requireThere(module) as Record<string, unknown>)[name];
  };
  const placeholder = Object.defineProperties(
    {},
    {
      __esModule: { value: true },
      ...Object.fromEntries(names.map((name) => [name, { enumerable: true, get: load(name) }])),
    },
  );
  const entry: Partial<NodeJS.Module> = { id: path, filename: path, loaded: true, exports: placeholder };
  require.cache[path] = entry as NodeJS.Module;
}

function resolveThere(requireThere: NodeJS.Require, module: string): string | undefined {
  try {
    return requireThere.resolve(module);
  } catch {
    return undefined;
  }
}
