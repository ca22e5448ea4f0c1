import * as pulumi from "@pulumi/pulumi";

// The program against an engine that answers every registration at once: what is left is Node, the modules and our code.
async function main(stack: string): Promise<void> {
  await pulumi.runtime.setMocks(
    { newResource: (args) => ({ id: `${args.name}-id`, state: args.inputs }), call: (args) => args.inputs },
    "gourmetgram-infra",
    stack,
    true,
  );
  await pulumi.runtime.runInPulumiStack(async () => {
    // Loaded inside the run, as the engine's own launcher does.
    require("../../stacks/index");
  });
  await pulumi.runtime.disconnect();
}

main(process.argv[2] ?? "local").catch((error: Error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
});
