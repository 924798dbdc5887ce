// The pages where people come in. Without this file they work too: the code of a link is then typed or pasted.
import "./copy.js";

// A code stands behind the # of a link, where it reaches no server and no log. It goes into the form, and out of sight.
const place = document.querySelector("[data-fragment]");
const code = location.hash.slice(1);
if (place && code) {
  place.querySelector("input").value = decodeURIComponent(code);
  place.hidden = true;
  history.replaceState(null, "", location.pathname);
  document.getElementById("name")?.focus();
}

for (const button of document.querySelectorAll("[data-shows]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const shown = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", shown);
    for (const id of button.dataset.shows.split(" ")) document.getElementById(id).type = shown ? "text" : "password";
  });
}
