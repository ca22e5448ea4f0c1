import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { run } from "./environmentUnderTest";

/** What a visitor of the app's page sees after a picture was sent. */
export interface ShownPage {
  readonly result: string;
  readonly version: string;
  /** The classes there are. */
  readonly classes: readonly string[];
}

const classes = [
  ...["Bread", "Dairy product", "Dessert", "Egg", "Fried food", "Meat", "Noodles/Pasta"],
  ...["Rice", "Seafood", "Soup", "Vegetable/Fruit"],
];

/** Where Debian and Ubuntu put the browser; installed when it is not there. */
async function browserPath(): Promise<string> {
  const paths = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
  const found = () => paths.find((path) => existsSync(path));
  if (found() === undefined) {
    await run("apt-get", ["update", "-qq"]);
    await run("apt-get", ["install", "-y", "-qq", "--no-install-recommends", "chromium"], {
      env: { DEBIAN_FRONTEND: "noninteractive" },
    });
  }
  const path = found();
  if (path === undefined) throw new Error(`no browser at ${paths.join(", ")}`);
  return path;
}

/** Opens the app's page in headless Chromium, sends a picture, and reads what is shown. */
export async function classifyInBrowser(url: string): Promise<ShownPage> {
  const folder = mkdtempSync(join(tmpdir(), "page-"));
  const browser = await chromium.launch({
    executablePath: await browserPath(),
    args: ["--no-sandbox", "--disable-gpu"],
  });
  try {
    const page = await browser.newPage();
    await page.goto(url);
    const picture = join(folder, "picture.png");
    await page.screenshot({ path: picture });
    await page.getByLabel("Picture").setInputFiles(picture);
    await page.getByRole("button", { name: "Classify" }).click();
    const result = page.locator("#class");
    await result.waitFor({ state: "visible", timeout: 15_000 });
    return {
      result: (await result.textContent())?.trim() ?? "",
      version: (await page.textContent("#model-version")) ?? "",
      classes,
    };
  } finally {
    await browser.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
