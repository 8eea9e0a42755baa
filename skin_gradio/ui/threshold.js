// Moves the threshold and the prevalence, and sets the figures that follow. `element` holds what `threshold.panel` made.
const chosen = { threshold: null, point: null, prevalence: null };

const spoken = () => document.documentElement.lang || "en";
const percent = (value) => value.toLocaleString(spoken(), { style: "percent" });
const decimal = (value) => value.toLocaleString(spoken(), { minimumFractionDigits: 3, maximumFractionDigits: 3 });
const share = (value, unknown) =>
  value === null ? unknown : value < 0.005 ? `<${percent(0.01)}` : value > 0.995 ? `>${percent(0.99)}` : percent(value);

// Bayes' rule, as in skin_gradio.score_curve.predictive_values.
function predictiveValues(sensitivity, specificity, prevalence) {
  if (!(prevalence >= 0 && prevalence <= 1)) return [null, null];
  const right = sensitivity * prevalence;
  const called = right + (1 - specificity) * (1 - prevalence);
  const left = specificity * (1 - prevalence);
  const uncalled = left + (1 - sensitivity) * prevalence;
  return [called > 0 ? right / called : null, uncalled > 0 ? left / uncalled : null];
}

function placeOf(thresholds, threshold) {
  return Math.max(thresholds.findLastIndex((one) => one <= threshold), 0);
}

function show(panel) {
  const curve = JSON.parse(panel.dataset.curve);
  const slider = panel.querySelector("[data-control=threshold]");
  const field = panel.querySelector("[data-control=prevalence]");
  const pressed = panel.querySelector("[data-place][aria-pressed=true]");
  if (chosen.prevalence !== null) field.value = chosen.prevalence;
  // A named point is another number for another model; a number that the slider was moved to stays one.
  const named = [...panel.querySelectorAll("[data-point]")].find((mark) => mark.dataset.point === chosen.point);
  const place = named
    ? Number(named.dataset.place)
    : chosen.threshold === null
      ? Number(slider ? slider.getAttribute("value") : pressed.dataset.place)
      : placeOf(curve.thresholds, chosen.threshold);
  const threshold = curve.thresholds[place];
  const sensitivity = curve.sensitivity[place], specificity = curve.specificity[place];
  const prevalence = field.value === "" ? NaN : Number(field.value) / 100;
  const [positive, negative] = predictiveValues(sensitivity, specificity, prevalence);
  const unknown = panel.dataset.unknown;
  const figures = {
    threshold: decimal(threshold),
    sensitivity: share(sensitivity, unknown),
    specificity: share(specificity, unknown),
    positive: share(positive, unknown),
    negative: share(negative, unknown),
    missed: Math.round((1 - sensitivity) * curve.malignant).toLocaleString(spoken()),
    called: Math.round((1 - specificity) * curve.others).toLocaleString(spoken()),
  };
  for (const part of panel.querySelectorAll("[data-figure]")) part.textContent = figures[part.dataset.figure];
  const side = Number(panel.dataset.score) >= threshold ? "above" : "below";
  for (const part of panel.querySelectorAll("[data-side]")) part.hidden = part.dataset.side !== side;
  panel.classList.toggle("above", side === "above");
  panel.classList.toggle("below", side === "below");
  for (const mark of panel.querySelectorAll("[data-place]")) {
    mark.setAttribute("aria-pressed", String(Number(mark.dataset.place) === place));
  }
  const tick = panel.querySelector(".score-track i");
  if (tick) tick.style.left = `${100 * threshold}%`;
  if (!slider) return;
  slider.value = place;
  slider.setAttribute("aria-valuetext", slider.dataset.says.replace(/{(\w+)}/g, (_, name) => figures[name]));
}

function choose(panel, place, point) {
  chosen.threshold = JSON.parse(panel.dataset.curve).thresholds[place];
  chosen.point = point;
  show(panel);
}

element.addEventListener("input", (event) => {
  const panel = event.target.closest(".score[data-curve]");
  if (event.target.matches("[data-control=threshold]")) choose(panel, Number(event.target.value), null);
  if (!event.target.matches("[data-control=prevalence]")) return;
  chosen.prevalence = event.target.value;
  show(panel);
});
element.addEventListener("click", (event) => {
  const mark = event.target.closest("[data-place]");
  if (mark) choose(mark.closest(".score"), Number(mark.dataset.place), mark.dataset.point);
});

// Another answer, or another model, keeps the point or the threshold, and the prevalence, that the visitor chose.
watch("value", () => element.querySelectorAll(".score[data-curve]").forEach(show));
