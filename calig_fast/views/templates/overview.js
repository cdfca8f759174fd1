// The table of the inputs: a click on a column sorts it, the filter hides rows and their sections.
function overview(list, sections) {
  const body = list.querySelector("tbody");
  const rows = [...body.rows];
  const heads = [...list.querySelectorAll("thead th")];
  const value = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.v === undefined ? cell.textContent.trim() : Number(cell.dataset.v);
  };
  const order = (a, b) => (typeof a === "number" ? (a > b) - (a < b) || isNaN(a) - isNaN(b) : a.localeCompare(b));
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of heads) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const sorted = rows.toSorted((a, b) => order(value(a, column), value(b, column)) * (down ? -1 : 1));
    body.append(...sorted);
  }));
  const filter = list.querySelector(".calig-filter");
  filter.addEventListener("change", () => {
    const chosen = filter.selectedOptions[0].dataset.rows;
    const shown = chosen === undefined ? null : new Set(chosen.split(" ").map(Number));
    rows.forEach((row, i) => { row.hidden = sections[i].hidden = shown !== null && !shown.has(i); });
    list.querySelector(".calig-count").textContent = (shown === null ? rows.length : shown.size) + " inputs";
  });
  rows.forEach((row, i) => row.addEventListener("click", () => sections[i].scrollIntoView({ behavior: "smooth" })));
}
