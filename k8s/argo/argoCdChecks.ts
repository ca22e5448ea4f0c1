import { DNS_LABEL_RULE, isDnsLabel } from "../../components/naming";
import type { Problem } from "../../components/problems";
import type { ProjectArgs } from "./argoCdSettings";

/** Every wrong plain argument of an ArgoCd. */
export function checkArgoCd({ repositories, namespaces }: ProjectArgs): readonly Problem[] {
  return [
    ...repositories.flatMap((url, index) => {
      const problem = urlProblem(url);
      if (problem === undefined) return [];
      return [
        {
          path: `repositories[${index}]`,
          // A URL with a password in it must not be shown.
          value: url.replace(/\/\/[^/@]*@/, "//...@"),
          problem,
          allowed: "an http:// or https:// URL without user and password",
          next: "write for example https://github.com/<owner>/<repository>.git",
        },
      ];
    }),
    ...namespaces.flatMap((namespace, index) =>
      isDnsLabel(namespace)
        ? []
        : [
            {
              path: `namespaces[${index}]`,
              value: namespace,
              problem: "is not the name of a namespace",
              allowed: DNS_LABEL_RULE,
              next: "name the namespaces of the stages",
            },
          ],
    ),
  ];
}

function urlProblem(text: string): string | undefined {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return "is not a URL";
  }
  if (!["http:", "https:"].includes(url.protocol)) return "is not reached over HTTP";
  // Patterns: a `*` would let Applications come from anywhere.
  if (text.includes("*")) return "is a pattern";
  return url.username || url.password ? "holds credentials" : undefined;
}
