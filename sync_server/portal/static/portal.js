// Everything works without this: it makes times the reader's own, parts live, and forms careful.
import { bringLater } from "./later.js";
import { followParts } from "./live.js";
import { tellTimes } from "./times.js";
import { prepare } from "./trying.js";

const root = document.documentElement;

// A table shown as cards (display: block) would be no table to a screen reader any more.
function keepTables(within) {
  for (const table of within.querySelectorAll("table.cards")) {
    table.setAttribute("role", "table");
    table.querySelectorAll("thead, tbody").forEach((group) => group.setAttribute("role", "rowgroup"));
    table.querySelectorAll("tr").forEach((row) => row.setAttribute("role", "row"));
    table.querySelectorAll("td").forEach((cell) => cell.setAttribute("role", "cell"));
    table.querySelectorAll("th").forEach((head) =>
      head.setAttribute("role", head.scope === "row" ? "rowheader" : "columnheader"),
    );
  }
}

function enhance(within) {
  keepTables(within);
  tellTimes(within, root.lang);
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.confirm && !window.confirm(form.dataset.confirm)) {
    event.preventDefault();
    return;
  }
  // Sent once; the key in it would see to that too. Not before the browser has taken the fields.
  if ("once" in form.dataset) {
    setTimeout(() => form.querySelectorAll("button").forEach((button) => (button.disabled = true)), 0);
  }
});

// Back from another page, out of the browser's memory: what was sent may be sent again.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) document.querySelectorAll("button:disabled").forEach((button) => (button.disabled = false));
});

enhance(document);
prepare(document);

// What was done is told once, not again when the page is reloaded.
const url = new URL(location.href);
if (url.searchParams.has("done")) {
  url.searchParams.delete("done");
  history.replaceState(null, "", url);
}

// The token of a mailed link: out of the address, into the form, and no longer to be seen.
const fromLink = document.querySelector("[data-from-link]");
if (fromLink) {
  const input = fromLink.querySelector("input");
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token) {
    input.value = token;
    history.replaceState(null, "", location.pathname);
  }
  fromLink.hidden = Boolean(input.value);
}

// The first thing that is wrong is where one goes on.
const wrong = document.querySelector("[aria-invalid=true], [role=alert], [data-look]");
if (wrong) {
  if (!wrong.hasAttribute("aria-invalid")) wrong.tabIndex = -1;
  wrong.focus();
}

for (const part of document.querySelectorAll("[data-later]")) bringLater(part, enhance);

const live = document.querySelector("[data-live]");
if (live) followParts(live, enhance);
