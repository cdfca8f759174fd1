(() => {
  for (const root of document.querySelectorAll(".calig:not(.calig-ready)")) {
    root.classList.add("calig-ready");
    const tip = root.querySelector(".calig-tip");
    const inputs = root.querySelectorAll(".calig-input");
    for (const input of inputs) prepare(input, tip);
    root.querySelectorAll(".calig-overview tbody tr").forEach((row, i) => {
      row.addEventListener("click", () => inputs[i].scrollIntoView({ behavior: "smooth" }));
    });
  }

  function prepare(input, tip) {
    const all = (selector) => [...input.querySelectorAll(selector)];
    const data = JSON.parse(input.querySelector(".calig-data").textContent);
    const slider = input.querySelector(".calig-layer");
    const words = all(".calig-w");
    const ends = all(".calig-end");
    let view = 0;

    function show(chosen) {
      view = chosen;
      if (slider) slider.value = view;
      for (const part of all("[data-view]")) part.hidden = Number(part.dataset.view) !== view;
      for (const part of all("[data-pick]")) part.classList.toggle("calig-now", Number(part.dataset.pick) === view);
      for (const part of all(".calig-which")) part.textContent = data.names[view];
      ends[0].textContent = "-" + data.scales[view];
      ends[1].textContent = "+" + data.scales[view];
      for (const word of words) word.dataset.s = data.levels[view][word.dataset.u];
    }

    function point(word) {
      const lines = [word.textContent + "  " + data.values[view][word.dataset.u] + "  (" + data.names[view] + ")"];
      for (const [piece, values] of data.pieces[word.dataset.u] || []) lines.push(piece + "  " + values[view]);
      tip.replaceChildren(...lines.map((line) => {
        const part = document.createElement("div");
        part.dir = "auto";
        part.textContent = line;
        return part;
      }));
      tip.hidden = false;
      const at = word.getClientRects()[0];
      const box = tip.getBoundingClientRect();
      tip.style.left = Math.max(6, Math.min(at.left, innerWidth - box.width - 6)) + "px";
      tip.style.top = (at.top > box.height + 10 ? at.top - box.height - 6 : at.bottom + 6) + "px";
    }

    for (const part of all(".calig-script")) part.hidden = false;
    for (const part of all("[data-pick]")) part.addEventListener("click", () => show(Number(part.dataset.pick)));
    if (slider) slider.addEventListener("input", () => show(Number(slider.value)));
    const opacity = input.querySelector(".calig-opacity");
    if (opacity) {
      const overlay = input.querySelector(".calig-overlay");
      opacity.addEventListener("input", () => overlay.style.setProperty("--opacity", opacity.value / 100));
    }
    for (const word of words) {
      word.removeAttribute("title");
      word.addEventListener("pointerenter", () => point(word));
      word.addEventListener("pointerleave", () => { tip.hidden = true; });
    }
    for (const bar of words.length ? all(".calig-bar") : []) {
      const word = words.find((w) => w.dataset.u === bar.dataset.of);
      bar.addEventListener("pointerenter", () => word.classList.add("calig-found"));
      bar.addEventListener("pointerleave", () => word.classList.remove("calig-found"));
    }
    show(0);
  }
})();
