// A table whose columns are sorted by the button in their head.
function sortable(table) {
  const body = table.querySelector("tbody");
  const rows = [...body.rows];
  const heads = [...table.querySelectorAll("thead th")];
  const value = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.v === undefined ? cell.textContent.trim() : Number(cell.dataset.v);
  };
  const order = (a, b) => (typeof a === "number" ? (a > b) - (a < b) || isNaN(a) - isNaN(b) : a.localeCompare(b));
  heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of heads) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const sorted = rows.toSorted((a, b) => order(value(a, column), value(b, column)) * (down ? -1 : 1));
    body.append(...sorted);
  }));
}

// The table of the inputs: the filter hides rows and their sections, a click on a row leads to its section.
function overview(list, sections) {
  const rows = [...list.querySelector("tbody").rows];
  sortable(list.querySelector("table"));
  const filter = list.querySelector(".calig-filter");
  filter.addEventListener("change", () => {
    const chosen = filter.selectedOptions[0].dataset.rows;
    const shown = chosen === undefined ? null : new Set(chosen.split(" ").map(Number));
    rows.forEach((row, i) => { row.hidden = sections[i].hidden = shown !== null && !shown.has(i); });
    list.querySelector(".calig-count").textContent = (shown === null ? rows.length : shown.size) + " inputs";
  });
  rows.forEach((row, i) => row.addEventListener("click", () => sections[i].scrollIntoView({ behavior: "smooth" })));
}
