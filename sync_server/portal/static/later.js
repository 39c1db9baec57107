// A part of a page that takes long comes after it; without this there is a link that shows all of it.
import { policy } from "./live.js";

export function bringLater(part, enhance) {
  const waits = part.querySelector("[data-later-waits]");
  const title = part.querySelector("[data-later-title]");
  const failed = part.querySelector("[data-later-failed]");
  const sentence = failed.querySelector("p");
  part.querySelector("[data-later-link]").hidden = true;

  const fail = (status) => {
    // The service is stopping, or has too many questions at work: both pass.
    const { busy, long, other } = sentence.dataset;
    sentence.textContent = { 422: long, 429: busy, 503: busy }[status] ?? other;
    waits.hidden = true;
    failed.hidden = false;
    part.setAttribute("aria-busy", "false");
  };
  const ask = async () => {
    failed.hidden = true;
    waits.hidden = false;
    title.textContent = title.dataset.on;
    part.setAttribute("aria-busy", "true");
    let response;
    let html;
    try {
      response = await fetch(part.dataset.later);
      html = await response.text();
    } catch {
      return fail(0);
    }
    // The login has ended meanwhile: the page is led to sign-in, and back.
    if (response.redirected) return location.replace(location.pathname + location.search);
    if (!response.ok) return fail(response.status);
    const isHere = part.contains(document.activeElement);
    part.innerHTML = policy.createHTML(html);
    enhance(part);
    part.setAttribute("aria-busy", "false");
    // Who pressed the button is not thrown back to the top; others stay where they are.
    const heading = part.querySelector("h2");
    if (isHere && heading) {
      heading.tabIndex = -1;
      heading.focus();
    }
  };
  part.querySelector("[data-later-again]").addEventListener("click", ask);
  ask();
}
