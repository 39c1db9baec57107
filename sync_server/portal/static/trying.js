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
  const wrong = row.querySelector("[aria-live]");
  const refuse = (why) => {
    input.value = "";
    wrong.textContent = why;
  };
  input.addEventListener("change", async () => {
    const [file] = input.files;
    wrong.textContent = "";
    if (!file) return;
    const field = document.getElementById(row.dataset.fileFor);
    if (file.size > 4 * field.maxLength) {
      refuse(row.dataset.tooLong);
      return;
    }
    try {
      // What is not UTF-8 would become names with question marks in them.
      field.value = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
      field.focus();
    } catch {
      refuse(row.dataset.unreadable);
    }
  });
}

export function prepare(within) {
  within.querySelectorAll("form[data-tries-itself]").forEach(tryWhileTyping);
  within.querySelectorAll("[data-file-for]").forEach(readFiles);
}
