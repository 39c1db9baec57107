// Parts of a page as they change: the server sends them whole, escaped by the same template as the page.
export const policy = window.trustedTypes
  ? window.trustedTypes.createPolicy("portal", { createHTML: (html) => html })
  : { createHTML: (html) => html };

const FIRST_WAIT_MS = 5000;
const LONGEST_WAIT_MS = 60000;
// The server says at every fifth look that it is still there; a line that died in silence says nothing.
const SILENCE_MS = 80000;

function isTyped(field) {
  if (field.type === "hidden") return false;
  if (field.tagName === "SELECT") {
    const chosen = [...field.options].findIndex((option) => option.defaultSelected);
    return field.selectedIndex !== Math.max(chosen, 0);
  }
  if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
  return field.value !== field.defaultValue;
}

// What somebody has typed here, or had sent and was told about, is nowhere else.
function holdsWork(main) {
  const told = "[aria-invalid=true], [role=alert], [data-look]";
  return Boolean(main.querySelector(told)) || [...main.querySelectorAll("input, select, textarea")].some(isTyped);
}

export function followParts(main, enhance) {
  const state = main.querySelector("[data-live-state]");
  const show = (text, isOn) => {
    if (!state) return;
    state.hidden = false;
    state.textContent = text;
    state.classList.toggle("on", isOn);
  };
  const waiting = new Map();
  let again = 0;
  // A link that was clicked keeps the focus: nobody is at it any more, as long as it is not being pressed.
  let isPressed = false;
  const isAt = (part) => {
    const focused = document.activeElement;
    return part.contains(focused) && (isPressed || focused.matches(":focus-visible, input, select, textarea"));
  };
  document.addEventListener("pointerdown", () => (isPressed = true));
  for (const end of ["pointerup", "pointercancel", "dragend"]) {
    document.addEventListener(end, () => setTimeout(() => (isPressed = false), 0));
  }
  const put = () => {
    for (const [part, html] of waiting) {
      // Nobody loses what they are at: a part is put in when the focus has left it.
      if (isAt(part)) {
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

  const address = new URL(main.dataset.live, location.href);
  let source = null;
  let isOver = false;
  let reopening = 0;
  let silence = 0;
  let wait = FIRST_WAIT_MS;
  const close = () => {
    clearTimeout(reopening);
    clearTimeout(silence);
    source?.close();
    source = null;
  };
  const reopen = () => {
    close();
    show(state?.dataset.off, false);
    reopening = setTimeout(open, wait);
    wait = Math.min(2 * wait, LONGEST_WAIT_MS);
  };
  const heard = () => {
    clearTimeout(silence);
    silence = setTimeout(reopen, SILENCE_MS);
  };
  const over = () => {
    isOver = true;
    close();
    if (holdsWork(main)) {
      show(state?.dataset.over, false);
      state?.setAttribute("role", "alert");
    } else {
      // Not reload(): what was sent to get this page would be sent again.
      location.replace(location.pathname + location.search);
    }
  };
  const open = () => {
    if (source || isOver || document.hidden) return;
    clearTimeout(reopening);
    heard();
    source = new EventSource(address);
    source.addEventListener("open", () => {
      wait = FIRST_WAIT_MS;
      heard();
      show(state?.dataset.on, true);
    });
    source.addEventListener("error", () => {
      show(state?.dataset.off, false);
      // The browser comes again by itself where the line broke, not where the answer was no stream: of a
      // service that is just starting, of a proxy that has none.
      if (source?.readyState === EventSource.CLOSED) reopen();
    });
    source.addEventListener("still", heard);
    source.addEventListener("over", over);
    source.addEventListener("part", (event) => {
      heard();
      // A stream that is opened anew goes on from what is shown, not from what the page began with.
      if (event.lastEventId) address.searchParams.set("live", event.lastEventId);
      const { name, html } = JSON.parse(event.data);
      const part = main.querySelector(`[data-part="${name}"]`);
      if (part) waiting.set(part, html);
      put();
    });
  };
  // A page that nobody sees costs nothing.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", open);
  window.addEventListener("online", () => {
    close();
    open();
  });
  open();
}
