// What pages do: tables sort, charts draw themselves when they are first seen, plans say what is under the pointer.
"use strict";
(() => {
  const value = (row, column) => row.cells[column].textContent.trim();
  const number = (text) => parseFloat(text.replaceAll(",", ""));

  // Numbers by size, words by alphabet; what is unknown or empty comes last either way.
  function compare(a, b, numeric, sign) {
    if (numeric) {
      const [x, y] = [number(a), number(b)];
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
      return sign * (x - y);
    }
    if (!a || !b) return !a - !b;
    return sign * a.localeCompare(b, "en", { numeric: true });
  }

  function sort(table, header) {
    const column = header.cellIndex;
    const numeric = !header.classList.contains("text");
    const descending = header.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = [...body.rows];
    rows.sort((a, b) => compare(value(a, column), value(b, column), numeric, descending ? -1 : 1));
    body.append(...rows);
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    table.tHead.addEventListener("click", (event) => {
      const header = event.target.closest("th");
      if (header) sort(table, header);
    });
  }

  function draw(figure) {
    const spec = JSON.parse(figure.querySelector("script").textContent);
    const options = {
      mode: "vega-lite", renderer: "svg", actions: false, defaultStyle: false, ast: true,
      tooltip: { disableDefaultStyle: true },
    };
    vegaEmbed(figure.querySelector(".canvas"), spec, options).then(
      () => figure.classList.add("drawn"),
      (error) => console.error(error),
    );
  }

  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      watcher.unobserve(entry.target);
      draw(entry.target);
    }
  }, { rootMargin: "600px" });
  for (const figure of document.querySelectorAll("figure.chart")) watcher.observe(figure);

  // The titles in a plan become a tip that is there at once, and on a phone at a touch.
  const tip = document.getElementById("tip");
  for (const title of document.querySelectorAll(".plan-map g > title")) {
    title.parentElement.dataset.tip = title.textContent.replaceAll("; ", "\n");
    title.parentElement.setAttribute("aria-label", title.textContent);
    title.remove();
  }
  function show(event) {
    const target = event.target.closest?.("[data-tip]");
    tip.hidden = !target;
    if (!target) return;
    tip.textContent = target.dataset.tip;
    const { offsetWidth: width, offsetHeight: height } = tip;
    const left = Math.min(event.clientX + 14, innerWidth - width - 8);
    const below = event.clientY + 18;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${below + height > innerHeight ? Math.max(8, event.clientY - height - 12) : below}px`;
  }
  for (const kind of ["pointermove", "pointerdown"]) document.addEventListener(kind, show);
  addEventListener("scroll", () => { tip.hidden = true; }, { capture: true, passive: true });
})();
