for (const root of document.querySelectorAll(".calig:not(.calig-ready)")) {
  root.classList.add("calig-ready");
  for (const part of root.querySelectorAll(".calig-script")) part.hidden = false;
  const sections = [...root.querySelectorAll(".calig-input")];
  for (const section of sections) prepare(section, root.querySelector(".calig-tip"));
  const list = root.querySelector(".calig-list");
  if (list) overview(list, sections);
  root.querySelector(".calig-theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : getComputedStyle(root).getPropertyValue("--dark").trim() === "1";
    root.dataset.theme = dark ? "light" : "dark";
  });
}

// An input: one slider and its other controls over the panels of all its explanations.
function prepare(section, tip) {
  const articles = [...section.querySelectorAll(".calig-panel")];
  const beside = section.querySelector(".calig-beside");
  const panels = articles.map((a) => new Panel(a, (beside ? a : section).querySelectorAll(".calig-end"), tip));
  const names = new Map([...panels].reverse().flatMap((p) => p.data.keys.map((key, k) => [key, p.data.names[k]])));
  const keys = [...names.keys()].sort((a, b) => a - b);
  const slider = section.querySelector(".calig-layer");
  const output = section.querySelector(".calig-controls > .calig-which");
  if ("same" in section.dataset) for (const panel of panels) panel.peers = panels.filter((p) => p !== panel);

  function show(key) {
    output.textContent = names.get(key);
    if (slider) {
      slider.value = keys.indexOf(key);
      slider.setAttribute("aria-valuetext", names.get(key));
    }
    for (const panel of panels) panel.show(key);
  }

  function control(name, act) {
    const input = section.querySelector(name);
    if (!input) return;
    input.addEventListener("input", () => {
      const number = input.parentElement.querySelector(".calig-number");
      if (number) number.textContent = input.value;
      for (const panel of panels) act(panel, Number(input.value));
    });
  }

  for (const panel of panels) {
    for (const part of panel.picks) part.addEventListener("click", () => show(Number(part.dataset.pick)));
  }
  if (slider) slider.addEventListener("input", () => show(keys[slider.value]));
  control(".calig-opacity", () => section.style.setProperty("--strength", section.querySelector(".calig-opacity").value / 100));
  control(".calig-photo", (panel, value) => panel.picture.overlay.style.setProperty("--photo", value / 100));
  const gridded = section.querySelector(".calig-gridded");
  if (gridded) gridded.addEventListener("change", () => section.classList.toggle("calig-plain", !gridded.checked));
  control(".calig-full", (panel, value) => { panel.full = value; panel.paint(); });
  control(".calig-least", (panel, value) => { panel.least = value; panel.paint(); });
  for (const row of section.querySelectorAll(".calig-compared tr[data-of]")) {
    row.addEventListener("pointerenter", () => panels.forEach((panel) => panel.find([Number(row.dataset.of)])));
    row.addEventListener("pointerleave", () => panels.forEach((panel) => panel.find([])));
  }
  show(keys[0]);
}
