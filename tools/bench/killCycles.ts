import type { BenchProject } from "./benchProject";
import { killSchedule } from "./killSchedule";
import type { OwnEnvironment } from "./ownEnvironment";
import { differences, unlike } from "./projectThings";

export interface CyclesArgs {
  readonly environment: OwnEnvironment;
  readonly project: BenchProject;
  readonly cycles: number;
  readonly seed: number;
  readonly print: (line: string) => void;
}

/**
 * Makes and removes the environment so many times; each `up` and each `destroy` is killed once in the middle, command and engine, and
 * the next run has to finish it. What is left of a cycle in the project fails it.
 *
 * @returns how many cycles were as they have to be
 */
export async function runCycles(args: CyclesArgs): Promise<number> {
  const { environment, project, print } = args;
  const before = await project.things(environment.name);
  const usual = { up: await environment.up(), destroy: 0 };
  const whole = await project.made(environment.name, environment.known);
  usual.destroy = await environment.destroy();
  print(
    `undisturbed: up ${usual.up.toFixed(1)} s, ${whole.length} things; destroy ${usual.destroy.toFixed(1)} s; seed ${args.seed}`,
  );
  let good = 0;
  for (const [index, share] of killSchedule(args.seed, args.cycles).entries()) {
    const problems: string[] = [];
    const told: string[] = [];
    for (const operation of ["up", "destroy"] as const) {
      const at = share[operation] * usual[operation];
      const { killed, engine, problem, seconds: lasted } = await environment.killed(operation, at);
      // The machine may have been busier before.
      if (!killed) usual[operation] = Math.min(usual[operation], lasted);
      const when = killed
        ? `killed at ${at.toFixed(1)} s${engine ? "" : " (no engine yet)"}`
        : "not killed, it was faster";
      try {
        const seconds = await environment[operation]();
        told.push(`${operation} ${when}, the next took ${seconds.toFixed(1)} s`);
      } catch (error) {
        told.push(`${operation} ${when}, the next FAILED`);
        problems.push((error as Error).message);
      }
      if (problem !== undefined) problems.push(problem);
      const made = await project.made(environment.name, environment.known);
      problems.push(...unlike(made, operation === "up" ? whole : []));
    }
    const changed = differences(before, await project.things(environment.name));
    problems.push(...changed);
    if (problems.length === 0) good += 1;
    else await startAnew(args);
    print(
      `cycle ${index + 1} of ${args.cycles}: ${told.join("; ")}; ${problems.length === 0 ? "nothing left" : "FAILED"}`,
    );
    for (const problem of problems) print(`  ${problem.replaceAll("\n", "\n  ")}`);
  }
  print(
    `${good} of ${args.cycles} cycles: every next run finished, nothing was left, the project is as before`,
  );
  return good;
}

/** One bad cycle must not spoil the next. */
async function startAnew({ environment, project, print }: CyclesArgs): Promise<void> {
  await environment.destroy().catch((error: Error) => print(`  clearing up: ${error.message}`));
  await project.clear(environment.name, environment.known);
}
