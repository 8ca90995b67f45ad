// What htmx needs told without eval: rest while nobody looks, say when the service is silent, repeat no news, leave open
// what the reader has opened. It gives the focus back by itself to what has an id.
"use strict";
const trouble = (silent) => { const line = document.getElementById("trouble"); if (line) line.hidden = !silent; };
document.addEventListener("htmx:confirm", (event) => {
  if (document.hidden && event.detail.elt.id === "glance") event.preventDefault();
});
document.addEventListener("visibilitychange", () => {
  const glance = document.getElementById("glance");
  if (!document.hidden && glance) htmx.ajax("GET", "/", { source: glance, target: glance, swap: "innerHTML" });
});
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  const news = event.detail.fragment.textContent.trim();
  if (event.detail.target.textContent.trim() === news) event.detail.shouldSwap = false;
});
let opened = [];
document.addEventListener("htmx:beforeSwap", (event) => {
  opened = [...event.detail.target.querySelectorAll("details[id][open]")].map((each) => each.id);
});
document.addEventListener("htmx:afterSwap", () => {
  for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
});
for (const kind of ["htmx:sendError", "htmx:timeout", "htmx:responseError"]) {
  document.addEventListener(kind, () => trouble(true));
}
document.addEventListener("htmx:afterRequest", (event) => { if (event.detail.successful) trouble(false); });
