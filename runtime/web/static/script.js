// What the pages do better with a script, and do without one as well: times in the reader's
// zone, search while typing, live parts, keys. It asks only the server that it came from.
"use strict";

const tidy = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

function dress(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!isNaN(at)) time.textContent = tidy.format(at);
  }
  for (const button of root.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
}

// say tells people what they cannot see, and what went wrong in sight of all. The region is no
// part of what is replaced, or nothing would be read out.
function say(text, wrong) {
  const said = document.getElementById("said");
  if (!said) return;
  said.className = wrong ? "banner bad" : "seen-not";
  said.textContent = text;
}

// part asks for a part of a page and puts it in the place of the one that is shown. What was
// asked for before is called off.
let asking;
async function part(place, url, live) {
  asking?.abort();
  const mine = asking = new AbortController();
  let answer, text;
  try {
    answer = await fetch(url, { headers: { "X-Part": place.dataset.part, ...(live && { "X-Live": "1" }) }, redirect: "error", signal: mine.signal });
    text = await answer.text();
  } catch {
    if (!live && mine === asking) say("The server did not answer. Try again in a moment.", true);
    return;
  }
  if (mine !== asking) return;
  if (answer.status === 401) return over(place);
  if (!answer.ok) {
    if (!live) say(`The server could not show that (${answer.status}). Try again in a moment.`, true);
    return;
  }
  if (place.shown === text) return;
  const focused = place.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  const bulk = place.querySelector("form.bulk");
  if (bulk) place.ticked = new FormData(bulk).getAll("id");
  place.shown = text;
  place.innerHTML = text;
  dress(place);
  tick(place);
  if (!live || place.dataset.while) say(place.querySelector("[data-say]")?.innerText ?? "");
  if (focused) place.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
}

// tick ticks again what was ticked before another search. What that does not find is sent along,
// and counted where everybody sees it.
function tick(place) {
  const form = place.querySelector("form.bulk");
  if (!form || !place.ticked) return;
  const boxes = new Map([...form.querySelectorAll("[name=id]")].map((box) => [box.value, box]));
  let away = 0;
  for (const id of place.ticked) {
    const box = boxes.get(id) ?? form.appendChild(Object.assign(document.createElement("input"), { type: "hidden", name: "id", value: id }));
    if (box.type === "hidden") away++;
    box.checked = true;
  }
  if (away) form.querySelector(".bulk-bar > span").textContent = `With the ticked, ${away} of them not shown now:`;
}

// over tells that the session is over. A page on which something was typed stays as it is, also
// where that came back with it: what is typed outlives the session when it is sent, and only then.
const typedIn = () => [...document.forms].some((form) => form.touched);
function over(place) {
  place.over = true;
  if (!typedIn()) return location.reload();
  if (document.getElementById("over")) return;
  const banner = document.createElement("p");
  banner.id = "over";
  banner.className = "banner info";
  banner.setAttribute("role", "status");
  banner.textContent = "Your session is over. What you typed stays here: save it, sign in when you are asked to, and go on.";
  place.prepend(banner);
}

function searches() {
  const place = document.getElementById("part");
  for (const form of document.querySelectorAll("form[data-search]")) {
    let wait;
    const look = () => {
      const url = new URL(form.action || location.href);
      url.search = new URLSearchParams(new FormData(form)).toString();
      history.replaceState(null, "", url);
      part(place, url);
    };
    form.addEventListener("input", () => { clearTimeout(wait); wait = setTimeout(look, 120); });
    form.addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(wait); look(); });
  }
}

function lives() {
  const place = document.querySelector("[data-every]");
  if (!place) return;
  const again = setInterval(() => {
    if (place.over) return clearInterval(again);
    // Who reads with the keyboard, or has selected something, is not disturbed.
    if (place.dataset.while && !place.querySelector(place.dataset.while)) return; // what was waited for is done
    if (document.hidden || place.contains(document.activeElement) || String(getSelection())) return;
    part(place, location.href, true);
  }, place.dataset.every * 1000);
}

function countdown() {
  const place = document.querySelector("[data-left]");
  if (!place) return;
  const end = new Date(place.dataset.left);
  const tick = () => {
    const left = Math.max(0, Math.round((end - Date.now()) / 1000));
    place.textContent = left > 0 ? `This session lasts for ${Math.floor(left / 60)} min ${String(left % 60).padStart(2, "0")} s more.` : "This session is over. What you typed stays; a new setup code goes on.";
    place.classList.toggle("soon", left <= 60);
  };
  tick();
  setInterval(tick, 1000);
}

function rows() { return [...document.querySelectorAll("table.list tbody tr a:first-of-type")].filter((a) => a.closest("td") === a.closest("tr").cells[0]); }

function move(by) {
  const list = rows();
  if (!list.length) return;
  const at = list.indexOf(document.activeElement);
  list[at < 0 ? 0 : Math.min(Math.max(at + by, 0), list.length - 1)].focus();
}

// Keys of one letter can be switched off: who speaks to the machine presses them by accident.
const keysOff = "ss-keys-off";
function keysOn() {
  try { return !localStorage.getItem(keysOff); } catch { return true; }
}

function keys() {
  const dialog = document.getElementById("keys"), box = document.getElementById("keys-on");
  if (!dialog || !box) return;
  box.checked = keysOn();
  box.addEventListener("change", () => {
    try { box.checked ? localStorage.removeItem(keysOff) : localStorage.setItem(keysOff, "1"); } catch { box.checked = true; }
  });
  for (const button of document.querySelectorAll("[data-keys]")) {
    button.hidden = false;
    button.addEventListener("click", () => dialog.showModal());
  }
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) && !/^(checkbox|radio)$/.test(event.target.type);
  if (event.key === "Escape" && event.target.type === "search") event.target.blur();
  if (event.key === "ArrowDown" && event.target.type === "search") { event.preventDefault(); return move(1); }
  if (typing || event.key.length === 1 && !keysOn()) return;
  if (event.key === "/") { const q = document.getElementById("q"); if (q) { event.preventDefault(); q.focus(); q.select(); } }
  else if (event.key === "?") document.getElementById("keys").showModal();
  else if (event.key === "j" || event.key === "ArrowDown" && event.target.closest("table.list")) { event.preventDefault(); move(1); }
  else if (event.key === "k" || event.key === "ArrowUp" && event.target.closest("table.list")) { event.preventDefault(); move(-1); }
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) {
    await navigator.clipboard.writeText(button.dataset.copy);
    const said = button.querySelector(".seen-not");
    button.title = said.textContent = "Copied";
    setTimeout(() => { button.title = said.textContent = "Copy"; }, 2000);
  }
});

// A form that was changed is not left by accident, and is sent once.
document.addEventListener("input", (event) => {
  const form = event.target.form;
  if (form && form.method === "post") form.touched = true;
});
addEventListener("beforeunload", (event) => {
  if ([...document.querySelectorAll("form.edit")].some((form) => form.touched)) event.preventDefault();
});
// Another colour takes nothing away of what was typed, or where one was.
document.addEventListener("submit", async (event) => {
  const form = event.target, chosen = event.submitter?.value;
  if (!form.matches(".theme") || !chosen) return;
  event.preventDefault();
  const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams({ theme: chosen, page: "/help" }) }).catch(() => null);
  if (!answer?.ok) return;
  document.documentElement.dataset.theme = chosen;
  for (const button of form.querySelectorAll("[name=theme]")) button.setAttribute("aria-pressed", String(button.value === chosen));
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.matches(".theme")) return;
  form.touched = false;
  if (form.method !== "post") return;
  if (form.sent) event.preventDefault();
  form.sent = true;
  setTimeout(() => { form.sent = false; }, 5000);
});

// A file that is too large is refused before it is sent.
for (const input of document.querySelectorAll("input[type=file][data-most]")) {
  input.addEventListener("change", () => {
    const large = input.files.length > 0 && input.files[0].size > Number(input.dataset.most);
    input.setCustomValidity(large ? "The file is larger than what is taken here. Import it on the server: ss-server import FILE." : "");
    input.reportValidity();
  });
}

for (const form of document.querySelectorAll("form[data-unsaved]")) form.touched = true;
document.documentElement.classList.add("scripted");
dress(document);
document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
keys();
searches();
lives();
countdown();
