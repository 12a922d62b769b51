// Keeps the status page new, and sends changes without leaving it. Without this file everything
// works too, by loading the page again.
"use strict";
(() => {
  const view = document.getElementById("view");
  const said = document.getElementById("said");
  const live = document.getElementById("live");
  // A page that was asked to load itself again does that instead.
  if (!view || document.querySelector("meta[http-equiv=refresh]")) return;

  // Make `old` like `fresh`, and leave alone what is the same: focus, selection, open details.
  function follow(old, fresh) {
    if (old.nodeType === Node.TEXT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    for (const { name, value } of [...fresh.attributes]) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    for (const { name } of [...old.attributes]) {
      const isOpened = old.tagName === "DETAILS" && name === "open";
      if (!fresh.hasAttribute(name) && !isOpened) old.removeAttribute(name);
    }
    const olds = [...old.childNodes];
    const news = [...fresh.childNodes];
    const byId = new Map(olds.filter((n) => n.id).map((n) => [n.id, n]));
    let at = 0;
    for (const next of news) {
      let mine = next.id ? byId.get(next.id) : olds[at];
      while (!next.id && mine && mine.id) mine = olds[++at];
      if (mine && isAlike(mine, next)) {
        if (old.childNodes[news.indexOf(next)] !== mine) {
          old.insertBefore(mine, old.childNodes[news.indexOf(next)] || null);
        }
        follow(mine, next);
        at = olds.indexOf(mine) + 1;
      } else {
        old.insertBefore(document.importNode(next, true), old.childNodes[news.indexOf(next)] || null);
      }
    }
    while (old.childNodes.length > news.length) old.lastChild.remove();
  }

  function isAlike(one, other) {
    return (
      one.nodeType === other.nodeType &&
      one.nodeName === other.nodeName &&
      (one.id || "") === (other.id || "") &&
      // A button that does something else now is another button: nobody shall hit it by mistake.
      (one.nodeName !== "BUTTON" || one.textContent === other.textContent)
    );
  }

  function show(html) {
    const fresh = new DOMParser().parseFromString(`<main id="view">${html}</main>`, "text/html");
    follow(view, fresh.getElementById("view"));
  }

  function say(text, isGood) {
    const line = document.createElement("p");
    line.className = isGood ? "said good" : "said bad";
    line.textContent = text;
    said.replaceChildren(line);
  }

  function mark(text) {
    if (live.textContent !== text) live.textContent = text;
  }

  const where = new URL(location.href);
  if (["update", "reset", "recover"].includes(where.searchParams.get("cmd"))) where.search = "";
  where.searchParams.set("mime", "html");
  where.searchParams.set("events", "1");
  const source = new EventSource(where);
  source.addEventListener("view", (event) => {
    show(event.data);
    mark("live");
  });
  source.addEventListener("error", () => mark("not live: asking again"));

  document.addEventListener("submit", async (event) => {
    const button = event.submitter;
    const form = event.target;
    if (form.method !== "post" || !button) return;
    event.preventDefault();
    const to = new URL(button.getAttribute("formaction") || form.action, location.href);
    to.searchParams.set("mime", "json");
    button.disabled = true;
    try {
      const answer = await fetch(to, { method: "POST", body: new URLSearchParams(new FormData(form)) });
      const { result } = await answer.json();
      say(result.message, result.type === "OK");
    } catch (problem) {
      say(`ajpd did not answer: ${problem.message}`, false);
    } finally {
      button.disabled = false;
    }
  });
})();
