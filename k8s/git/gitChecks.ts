import { DNS_LABEL_RULE, isDnsLabel } from "../../components/naming";
import type { Problem } from "../../components/problems";
import { BYTE_UNIT_NAMES, parseBytes } from "../../components/quantity";
import type { GitServerArgs } from "./gitServer";
import { type RepositorySeed, renderSeed, SEED_LIMIT, seedSize } from "./seed";

/** Every wrong plain argument of a GitServer. */
export function checkGitServer(args: GitServerArgs): readonly Problem[] {
  const problems: Problem[] = Object.entries(args.repositories).flatMap(([name, seed]) =>
    checkRepository(name, seed),
  );
  if (Object.keys(args.repositories).length === 0) {
    problems.push({
      path: "repositories",
      problem: "is empty",
      allowed: "at least one repository",
      next: "name a repository, or make no Git server",
    });
  }
  if (parseBytes(args.storage) === undefined) {
    problems.push({
      path: "storage",
      value: args.storage,
      problem: "is not a size with a unit",
      allowed: `a number and one of ${BYTE_UNIT_NAMES.join(", ")}`,
      next: `write for example "2Gi"`,
    });
  }
  if (args.webhook && !isWebhookUrl(args.webhook.url)) {
    problems.push({
      path: "webhook.url",
      value: args.webhook.url,
      problem: "is not a URL that can be called",
      allowed: "http:// or https:// with host and path; no user",
      next: "write for example http://github-eventsource-svc.argo-events.svc.cluster.local:12000/push",
    });
  }
  return problems;
}

function checkRepository(name: string, seed: RepositorySeed): Problem[] {
  const path = `repositories.${name}`;
  const problems: Problem[] = [];
  if (!isDnsLabel(name, 40)) {
    problems.push({
      path,
      value: name,
      problem: "is not a name for a repository",
      allowed: `at most 40 ${DNS_LABEL_RULE}`,
      next: "choose another name",
    });
  }
  // A part of what `git check-ref-format` allows. The branches `seed` and `seed-...` take what may not move the real one.
  if (
    !/^[A-Za-z0-9][A-Za-z0-9._/-]*[A-Za-z0-9]$/.test(seed.branch) ||
    /\.\.|\/\/|^seed(-|$)/.test(seed.branch)
  ) {
    problems.push({
      path: `${path}.branch`,
      value: seed.branch,
      problem: "is not a name for a branch with a seed",
      allowed: "letters, digits and . _ / - inside; not seed or seed-...",
      next: "write for example main",
    });
  }
  const wrong = Object.keys(seed.files).filter(
    (file) => !/^[^/\n]+(\/[^/\n]+)*$/.test(file) || /(^|\/)(\.\.?|\.git)(\/|$)|^\s|\s$/i.test(file),
  );
  if (wrong.length > 0) {
    problems.push({
      path: `${path}.files`,
      value: wrong,
      problem: "has paths no repository can have",
      allowed: "relative paths without . and .., .git and blanks at the ends",
      next: "name the files by their paths in the repository",
    });
  }
  const size = seedSize(renderSeed(seed));
  if (size > SEED_LIMIT) {
    problems.push({
      path: `${path}.files`,
      value: `${size} bytes`,
      problem: "is too large for a seed, which is a ConfigMap",
      allowed: `at most ${SEED_LIMIT} bytes`,
      next: "seed less, and push the rest",
    });
  }
  return problems;
}

function isWebhookUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  return ["http:", "https:"].includes(url.protocol) && url.username === "" && url.password === "";
}
