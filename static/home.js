// The live part of the first page. Without this file the page still works: it reloads itself now and then.

const AGAIN = 3000; // milliseconds until a stream that the server ended for good is asked for anew

const contact = document.querySelector(".contact");

function inContact(yes) {
  contact.hidden = yes;
  document.body.classList.toggle("lost", !yes);
}

function put(fragment) {
  const { id, html } = JSON.parse(fragment);
  const place = document.getElementById(id);
  const fresh = document.createElement("template");
  fresh.innerHTML = html; // rendered and escaped by the same templates as the page itself
  if (!place || place.innerHTML === fresh.innerHTML) return;
  place.replaceChildren(fresh.content);
  place.classList.add("fresh");
}

function follow() {
  const stream = new EventSource("/live");
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

async function copy(button) {
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    // Over plain http from another computer the browser keeps its clipboard shut: mark the text instead.
    getSelection().selectAllChildren(button.previousElementSibling);
    button.textContent = "Marked";
    return;
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", () => copy(button));
}

follow();
