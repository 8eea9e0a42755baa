// Sends what a button of the answer asks for, and tells a screen reader in a few words what the answer is.
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (button) trigger("select", { act: button.dataset.act });
});

// A live region is heard only when its text changes while it is there, so it stays beside the answer.
const said = document.createElement("p");
said.className = "unseen";
said.setAttribute("role", "status");
element.after(said);
watch("value", () => {
  said.textContent = element.querySelector("[data-said]")?.dataset.said ?? "";
});
