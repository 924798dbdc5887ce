// Buttons that copy a text, wherever a page has them. Without scripts they stay hidden: the text can be marked.

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
