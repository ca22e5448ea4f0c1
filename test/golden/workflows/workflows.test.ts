/**
 * Proves: nothing of the pipeline's templates changes unseen: each stands in a file that is reviewed. Does not prove: that what stands
 * there is right.
 */
import { expect, test } from "vitest";
import { stringify } from "yaml";
import { renderPipeline } from "../../../workflows/pipeline/pipeline";

const manifests = renderPipeline({ image: "bundle.gourmetgram.internal/pipeline:1" });

test.each(Object.entries(manifests))("%s", async (name, manifest) => {
  const text = stringify(manifest, { lineWidth: 0, aliasDuplicateObjects: false });
  await expect(text).toMatchFileSnapshot(`${name}.golden.yaml`);
});
