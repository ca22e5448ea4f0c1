const element = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)} %`;

/** Most likely classes shown. */
const SHOWN = 3;

async function readAnswer(response) {
  const answer = await response.json().catch(() => ({ error: `the server answered ${response.status}` }));
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

async function showVersion() {
  try {
    element("model-version").textContent = (await readAnswer(await fetch("version"))).model_version;
  } catch {
    element("model-version").textContent = "unknown";
  }
}

function showResult(answer) {
  element("class").textContent = answer.class;
  element("confidence").textContent = percent(answer.confidence);
  element("model-version").textContent = answer.model_version;
  const ranking = Object.entries(answer.probabilities).sort(([, a], [, b]) => b - a);
  element("ranking").replaceChildren(
    ...ranking.slice(0, SHOWN).map(([name, share]) => {
      const row = document.createElement("tr");
      for (const text of [name, percent(share)]) row.insertCell().textContent = text;
      return row;
    }),
  );
  element("result").hidden = false;
}

async function classify(event) {
  event.preventDefault();
  const [picture] = element("picture").files;
  element("error").textContent = "";
  element("status").textContent = "Looking at the picture …";
  element("classify").disabled = true;
  element("result").hidden = true;
  try {
    const form = new FormData();
    form.append("file", picture);
    const answer = await readAnswer(await fetch("predict", { method: "POST", body: form }));
    URL.revokeObjectURL(element("preview").src);
    element("preview").src = URL.createObjectURL(picture);
    showResult(answer);
    element("status").textContent = `${answer.class}, ${percent(answer.confidence)}`;
  } catch (error) {
    element("status").textContent = "";
    element("error").textContent = `That did not work: ${error.message}`;
  } finally {
    element("classify").disabled = false;
  }
}

element("upload").addEventListener("submit", classify);
showVersion();
