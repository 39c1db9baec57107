// Parts of a page as they change: the server sends them whole, escaped by the same template as the page.
export const policy = window.trustedTypes
  ? window.trustedTypes.createPolicy("portal", { createHTML: (html) => html })
  : { createHTML: (html) => html };

export function followParts(main, enhance) {
  const state = main.querySelector("[data-live-state]");
  const show = (isOn) => {
    if (!state) return;
    state.hidden = false;
    state.textContent = isOn ? state.dataset.on : state.dataset.off;
    state.classList.toggle("on", isOn);
  };
  const waiting = new Map();
  let again = 0;
  const put = () => {
    for (const [part, html] of waiting) {
      // Nobody loses what they are at: a part is put in when the focus has left it.
      if (part.contains(document.activeElement)) {
        clearTimeout(again);
        again = setTimeout(put, 2000);
        continue;
      }
      waiting.delete(part);
      part.innerHTML = policy.createHTML(html);
      enhance(part);
      part.classList.remove("fresh");
      requestAnimationFrame(() => part.classList.add("fresh"));
    }
  };
  let source = null;
  const open = () => {
    if (source) return;
    source = new EventSource(main.dataset.live);
    source.addEventListener("open", () => show(true));
    source.addEventListener("error", () => show(false));
    source.addEventListener("over", () => location.reload());
    source.addEventListener("part", (event) => {
      const { name, html } = JSON.parse(event.data);
      const part = main.querySelector(`[data-part="${name}"]`);
      if (part) waiting.set(part, html);
      put();
    });
  };
  const close = () => {
    source?.close();
    source = null;
  };
  // A page that nobody sees costs nothing.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  window.addEventListener("pagehide", close);
  if (!document.hidden) open();
}
