// Shows the chosen diagnosis' heatmap and fades it. `element` holds what `why.panel` made; the words are Python's.
let opacity = null;

function chooseLayer(panel) {
  const code = panel.querySelector("[data-why=code]").value;
  for (const part of panel.querySelectorAll("[data-code]")) part.hidden = part.dataset.code !== code;
}

function fade(panel) {
  const share = panel.querySelector("[data-why=opacity]").value / 100;
  for (const layer of panel.querySelectorAll(".layer")) layer.style.opacity = share;
}

element.addEventListener("input", (event) => {
  const panel = event.target.closest(".why");
  if (event.target.matches("[data-why=code]")) chooseLayer(panel);
  if (!event.target.matches("[data-why=opacity]")) return;
  opacity = event.target.value;
  fade(panel);
});

// A new answer shows its own top diagnosis, at the opacity that the visitor chose.
watch("value", () => {
  const panel = element.querySelector(".why:has([data-why])");
  if (!panel) return;
  panel.querySelector("[data-why=code]").value = panel.querySelector(".layer:not([hidden])").dataset.code;
  if (opacity !== null) panel.querySelector("[data-why=opacity]").value = opacity;
  fade(panel);
});
