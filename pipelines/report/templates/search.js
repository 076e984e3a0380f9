// Without a search the first rows of the table are shown, in its order; a search shows all rows whose name has the text.
for (const box of document.querySelectorAll("input[data-searches]")) {
  const table = document.getElementById(box.dataset.searches);
  const show = () => {
    const wanted = box.value.trim().toLowerCase();
    let count = 0;
    for (const row of table.tBodies[0].rows) {
      const fits = row.cells[0].textContent.toLowerCase().includes(wanted);
      row.hidden = !fits || (!wanted && count >= Number(box.dataset.shown));
      count += fits;
    }
  };
  box.addEventListener("input", show);
  table.tHead.addEventListener("click", show);
}
