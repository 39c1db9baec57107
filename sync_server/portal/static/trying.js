// Forms that say what they would do while one types, and files that are read into a field.
import { policy } from "./live.js";

const DELAY_MS = 900;

function tryWhileTyping(form) {
  const place = form.parentElement.querySelector("[data-tried]");
  let timer = null;
  let asking = null;
  const ask = async () => {
    asking?.abort();
    asking = new AbortController();
    const fields = new URLSearchParams(new FormData(form));
    fields.set("try", "on");
    try {
      const answer = await fetch(location.href, { method: "POST", body: fields, signal: asking.signal });
      const page = new DOMParser().parseFromString(policy.createHTML(await answer.text()), "text/html");
      const told = page.querySelector("[data-tried]");
      if (told) place.innerHTML = policy.createHTML(told.innerHTML);
    } catch {
      // The line is away: the button checks as well.
    }
  };
  form.addEventListener("input", (event) => {
    if (event.target.tagName !== "TEXTAREA") return;
    clearTimeout(timer);
    timer = setTimeout(ask, DELAY_MS);
  });
}

function readFiles(row) {
  const input = row.querySelector("input");
  row.hidden = false;
  input.addEventListener("change", async () => {
    const [file] = input.files;
    if (!file) return;
    const field = document.getElementById(row.dataset.fileFor);
    field.value = await file.text();
    field.focus();
  });
}

export function prepare(within) {
  within.querySelectorAll("form[data-tries-itself]").forEach(tryWhileTyping);
  within.querySelectorAll("[data-file-for]").forEach(readFiles);
}
