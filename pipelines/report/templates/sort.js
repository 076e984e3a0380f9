// A click on a heading sorts by its column; a second click reverses the order. All details are opened for printing.
for (const table of document.querySelectorAll("table.sortable")) {
  for (const heading of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const falling = heading.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const key = row => row.cells[heading.cellIndex].textContent.trim();
      const order = (a, b) => key(a).localeCompare(key(b), "en", { numeric: true });
      const number = row => parseFloat(key(row));
      const rows = [...table.tBodies[0].rows];
      const numeric = rows.every(row => key(row) === "" || !isNaN(number(row)));
      rows.sort(numeric ? (a, b) => (number(a) || 0) - (number(b) || 0) : order);
      table.tBodies[0].append(...(falling ? rows.reverse() : rows));
    });
  }
}
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(d => (d.open = true)));
