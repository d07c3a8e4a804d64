(() => {
  const all = (query, inside = document) => [...inside.querySelectorAll(query)];
  const value = (cell) => {
    const text = cell.textContent.trim().replace("−", "-");
    return /^[+-]?[\d.]/.test(text) ? parseFloat(text) : text.toLowerCase();
  };
  const order = (a, b) => {
    if (typeof a === typeof b) return typeof a === "number" ? a - b : a.localeCompare(b);
    return typeof a === "number" ? 1 : -1;
  };
  for (const table of all("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      if (head.classList.contains("draw")) return;
      const button = document.createElement("button");
      button.append(...head.childNodes);
      head.append(button);
      button.onclick = () => {
        const way = head.ariaSort === "descending" ? "ascending" : "descending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", way);
        const rows = [...table.tBodies[0].rows];
        const sign = way === "ascending" ? 1 : -1;
        rows.sort((a, b) => sign * order(value(a.cells[column]), value(b.cells[column])));
        table.tBodies[0].append(...rows);
      };
    });
  }
  for (const box of all(".filter")) {
    const table = document.getElementById(box.dataset.table);
    const rows = [...table.tBodies[0].rows];
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const count = box.querySelector("output");
    const search = box.querySelector("input[type=search]");
    const boxes = all("input[type=checkbox]", box);
    const apply = () => {
      const words = search.value.toLowerCase().split(/\s+/);
      let shown = 0;
      rows.forEach((row, at) => {
        const seen = words.every((word) => texts[at].includes(word));
        row.hidden = !(seen && boxes.every((one) => !one.checked || row.dataset[one.name] !== undefined));
        shown += !row.hidden;
      });
      count.textContent = `${shown} of ${rows.length} rows`;
    };
    box.hidden = false;
    box.oninput = apply;
    apply();
  }
  for (const slider of all(".slider")) {
    const figure = slider.closest("figure");
    const told = slider.querySelector("output");
    slider.hidden = false;
    slider.oninput = (event) => {
      const input = event.target;
      figure.classList.add("picked");
      all(".setting", figure).forEach((one) => {
        one.classList.toggle("on", one.dataset.at === `${input.dataset.place}-${input.value}`);
      });
      told.textContent = JSON.parse(input.dataset.told)[input.value];
      input.setAttribute("aria-valuetext", told.textContent);
    };
  }
  const open = () => {
    const at = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let up = at; up; up = up.parentElement) if (up.tagName === "DETAILS") up.open = true;
    if (at) at.scrollIntoView();
  };
  addEventListener("hashchange", open);
  open();
})();
