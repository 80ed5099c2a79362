"use strict";

// Charts: each <div class="chart"> is followed by its figure as JSON; colours of text and grid come from the page.
const charts = [...document.querySelectorAll(".chart")];

function themed(layout) {
  const css = getComputedStyle(document.documentElement);
  const color = (name) => css.getPropertyValue(name).trim();
  const axis = { gridcolor: color("--line"), linecolor: color("--line"), zerolinecolor: color("--line"), tickcolor: color("--line") };
  const menus = (layout.updatemenus || []).map((menu) => ({
    ...menu, bgcolor: color("--paper"), bordercolor: color("--line"), font: { color: color("--ink"), size: 12 },
  }));
  return {
    ...layout,
    updatemenus: menus,
    xaxis: { ...axis, ...layout.xaxis },
    yaxis: { ...axis, ...layout.yaxis },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, color: color("--ink"), size: 13 },
    hoverlabel: { bgcolor: color("--panel"), bordercolor: color("--line"), font: { color: color("--ink"), size: 12 }, align: "left" },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
    margin: { l: 70, r: 16, t: 44, b: 56, ...layout.margin },
  };
}

function draw() {
  for (const chart of charts) {
    const figure = JSON.parse(document.getElementById(chart.id + "-data").textContent);
    Plotly.react(chart, figure.data, themed(figure.layout), { responsive: true, displayModeBar: false });
  }
}

draw();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

// Tables: a click on a column's head sorts; cells carry their value in data-value. Detail rows stay with their trial.
function sortBy(head) {
  const table = head.closest("table");
  const index = head.cellIndex;
  const descending = head.getAttribute("aria-sort") === "ascending";
  for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const value = (row) => {
    const cell = row.cells[index];
    const text = cell.dataset.value ?? cell.textContent;
    return text === "" ? null : Number.isNaN(Number(text)) ? text : Number(text);
  };
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) return (x === null) - (y === null); // what was not measured stays last
    const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
    return descending ? -order : order;
  });
  table.tBodies[0].append(...rows);
}

for (const head of document.querySelectorAll("table.sortable th")) head.addEventListener("click", () => sortBy(head));

const filter = document.getElementById("filter");
if (filter) {
  const rows = [...document.querySelectorAll("#trials tbody tr")];
  const shown = document.getElementById("shown");
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const text = row.dataset.text;
      row.hidden = !words.every((word) => text.includes(word));
      count += !row.hidden;
    }
    shown.textContent = `${count} of ${rows.length} trials`;
  });
}

for (const button of document.querySelectorAll(".command button")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.previousElementSibling.textContent);
    button.textContent = "copied";
    setTimeout(() => (button.textContent = "copy"), 1500);
  });
}
