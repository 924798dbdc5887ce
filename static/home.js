// The live part of the first page. Without this file the page still works: it reloads itself now and then.

import "./copy.js";

const AGAIN = 3000; // milliseconds until a stream that the server ended for good is asked for anew

// Rendered and escaped by the same templates as the page itself: the one source that may become HTML here.
const ours = globalThis.trustedTypes?.createPolicy("seadragon", { createHTML: (html) => html }) ?? { createHTML: (html) => html };

const contact = document.querySelector(".contact");

function inContact(yes) {
  contact.hidden = yes;
  document.body.classList.toggle("lost", !yes);
}

function put(fragment) {
  const { id, html } = JSON.parse(fragment);
  const place = document.getElementById(id);
  const fresh = document.createElement("template");
  fresh.innerHTML = ours.createHTML(html);
  if (!place || place.innerHTML === fresh.innerHTML) return;
  if (place.querySelector("button")) return become(place, fresh.content);
  place.replaceChildren(fresh.content);
  place.classList.add("fresh");
}

// Where there is something to press, what stays the same stays in place: a finger and the focus may be on it.
function become(old, fresh) {
  const known = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
  let at = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const same = wanted.id ? known.get(wanted.id) : at && !at.id && at.nodeName === wanted.nodeName ? at : null;
    if (!same) {
      old.insertBefore(wanted, at);
      continue;
    }
    if (same === at) at = at.nextSibling;
    else old.insertBefore(same, at);
    adjust(same, wanted);
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

function adjust(old, wanted) {
  if (old.isEqualNode(wanted)) return;
  if (old.nodeName === "BUTTON" && old.name !== wanted.name) return old.replaceWith(wanted); // another order: not under the same finger
  if (old.nodeType === Node.TEXT_NODE) old.data = wanted.data;
  else {
    for (const { name } of [...old.attributes]) if (!wanted.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of [...wanted.attributes]) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    become(old, wanted);
  }
}

function follow() {
  const stream = new EventSource(document.getElementById("main").dataset.stream);
  stream.addEventListener("open", () => inContact(true));
  stream.addEventListener("fragment", (event) => put(event.data));
  stream.addEventListener("edition", (event) => {
    if (event.data !== document.documentElement.dataset.edition) location.reload();
  });
  stream.addEventListener("error", () => {
    inContact(false);
    if (stream.readyState === EventSource.CLOSED) setTimeout(follow, AGAIN);
  });
}

// A row may move up under the finger just before it presses: say whose request it is, since nothing brings it back.
document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (button?.name === "cancel" && !confirm(`${button.textContent}?`)) event.preventDefault();
});

follow();
