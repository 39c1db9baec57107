// Times in the reader's own zone, and how long ago; what the page says without this is UTC.
const UNITS = [
  ["day", 86400],
  ["hour", 3600],
  ["minute", 60],
];
const NEAR_SECONDS = 7 * 86400;

function relative(date, format) {
  const seconds = (date.getTime() - Date.now()) / 1000;
  if (Math.abs(seconds) > NEAR_SECONDS) return null;
  for (const [unit, length] of UNITS) {
    if (Math.abs(seconds) >= length) return format.format(Math.trunc(seconds / length), unit);
  }
  return format.format(0, "second");
}

export function tellTimes(within, language) {
  const locale = language === "fr" ? "fr" : "en-GB";
  const relatively = new Intl.RelativeTimeFormat(locale, { numeric: "auto", style: "long" });
  const exactly = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });
  const tell = () => {
    for (const time of within.querySelectorAll("time:not([data-day])")) {
      const date = new Date(time.dateTime);
      const exact = exactly.format(date);
      const text = ("exact" in time.dataset ? null : relative(date, relatively)) ?? exact;
      if (time.textContent !== text) time.textContent = text;
      time.title = exact;
    }
  };
  tell();
  if (within === document) setInterval(tell, 30000);
}
