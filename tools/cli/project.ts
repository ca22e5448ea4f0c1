import { projectRoot } from "../../components/sourceFile";

/** Name of the Pulumi project, and namespace of its settings. Equal to `name` in Pulumi.yaml. */
export const PROJECT_NAME = "gourmetgram-infra";

/** Environment a command works on when none is named. */
export const DEFAULT_STACK = "local";

/** Root folder of the project, where Pulumi.yaml is. */
export const PROJECT_ROOT = projectRoot();
