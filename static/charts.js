// Draws a chart from the table beside it, so that both tell the same. Without this file, or without
// JavaScript, the table is what people see.
"use strict";

const STEPS = [1, 2, 5, 7, 10, 14, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 100000];
const BRIEF = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
const TIMES = [0.1, 1, 10, 60, 600, 3600, 21600, 86400, 604800]; // where the axis of delays has marks

function readTable(table) {
  const heads = [...table.querySelectorAll("thead th")].map((head) => ({
    key: head.dataset.draw,
    name: head.textContent,
    values: [],
  }));
  const rows = [...table.querySelectorAll("tbody tr")].map((row) => [...row.cells]);
  for (const cells of rows) {
    cells.forEach((cell, column) => {
      const told = cell.dataset.value ?? cell.textContent;
      heads[column].values.push(told === "" ? null : Number(told));
    });
  }
  return {
    labels: rows.map((cells) => cells[0].dataset.label),
    series: heads.filter((head) => head.key),
    say: (index) => rows[index]
      .map((cell, column) => (column ? `${heads[column].name} ${cell.textContent || "–"}` : cell.textContent))
      .join(" · "),
  };
}

// --- How a series looks: a colour, and something that is no colour ------------------------------

function patterned(colour, paper, kind) {
  if (kind === "at-once") return colour;
  const tile = document.createElement("canvas");
  const size = (tile.width = tile.height = 8);
  const pen = tile.getContext("2d");
  pen.fillStyle = kind === "retried" ? paper : colour;
  pen.fillRect(0, 0, size, size);
  pen.lineWidth = 2.5;
  pen.strokeStyle = kind === "retried" ? colour : paper;
  pen.beginPath();
  if (kind === "retried") {
    for (const shift of [-size, 0, size]) {
      pen.moveTo(shift, size);
      pen.lineTo(shift + size, 0);
    }
    pen.stroke();
  } else {
    pen.fillStyle = paper;
    pen.fillRect(2, 2, 3, 3);
  }
  return pen.createPattern(tile, "repeat");
}

const COLOURS = { "at-once": "--good", retried: "--busy", failed: "--bad", half: "--good", most: "--busy" };

function brief(seconds) {
  const [size, unit] = BRIEF.find(([size]) => seconds >= size) ?? [1, "s"];
  const language = document.documentElement.lang;
  return `${(seconds / size).toLocaleString(language, { maximumFractionDigits: 1 })} ${unit}`;
}

function options(figure, told, plot, width) {
  const style = getComputedStyle(figure);
  const colour = (name) => style.getPropertyValue(name).trim();
  const font = `12px ${style.fontFamily}`;
  const line = { stroke: colour("--muted"), font, grid: { stroke: colour("--border"), width: 1 }, ticks: { show: false } };
  const room = Math.max(2, Math.floor(width / 64));
  const every = STEPS.find((step) => told.labels.length / step <= room);
  const last = told.labels.length - 1;
  return {
    width,
    height: plot.clientHeight,
    padding: [8, 20, 0, 0], // half of the last label stands beyond its bar
    legend: { show: false },
    cursor: { drag: { setScale: false }, y: false, points: { show: false }, sync: { key: figure.id } },
    scales: { x: { time: false, range: [-0.6, last + 0.6] } },
    axes: [
      { ...line, grid: { show: false }, size: 24, gap: 4, splits: () => marks(last, every), values: (_, at) => at.map((x) => told.labels[x]) },
      { ...line, size: 56, gap: 6 },
    ],
    hooks: { setCursor: [(u) => { figure.querySelector(".reading").textContent = u.cursor.idx == null ? "" : told.say(u.cursor.idx); }] },
    colour,
  };
}

function marks(last, every) {
  const found = [];
  for (let at = last; at >= 0; at -= every) found.unshift(at);
  return found;
}

function drawBars(figure, told, plot, width) {
  const { colour, ...common } = options(figure, told, plot, width);
  const parts = told.series.filter((one) => ["at-once", "retried", "failed"].includes(one.key));
  const sums = told.labels.map(() => 0);
  const stacked = parts.map((one) => one.values.map((value, at) => (sums[at] += value) || null));
  const path = uPlot.paths.bars({ size: [0.78, 28], radius: 0.08 });
  const series = parts.map((one) => ({
    fill: () => patterned(colour(COLOURS[one.key]), colour("--card"), one.key),
    stroke: colour(COLOURS[one.key]),
    width: 1,
    paths: path,
    points: { show: false },
  }));
  common.scales.y = { range: (_, low, high) => [0, Math.max(high, 4)] };
  common.axes[1].incrs = STEPS;
  // The whole stack first, then its lower parts over it.
  const xs = told.labels.map((_, at) => at);
  return new uPlot({ ...common, series: [{}, ...series.reverse()] }, [xs, ...stacked.reverse()], plot);
}

function drawLines(figure, told, plot, width) {
  const { colour, ...common } = options(figure, told, plot, width);
  const parts = told.series.filter((one) => ["half", "most"].includes(one.key));
  const series = parts.map((one) => ({
    stroke: colour(COLOURS[one.key]),
    width: 2,
    dash: one.key === "most" ? [6, 4] : undefined,
    spanGaps: true,
    points: { show: true, size: one.key === "most" ? 7 : 5, fill: one.key === "most" ? colour("--card") : colour(COLOURS[one.key]) },
  }));
  // From a tenth of a second to days on one scale.
  common.scales.y = { distr: 3, range: (_, low, high) => [Math.min(low ?? 0.1, 0.1), Math.max(high ?? 1, 10)] };
  Object.assign(common.axes[1], {
    splits: (_, axis, low, high) => TIMES.filter((at) => at >= low * 0.99 && at <= high * 1.01),
    filter: (_, at) => at,
    values: (_, at) => at.map((seconds) => (seconds == null ? "" : brief(seconds))),
  });
  const xs = told.labels.map((_, at) => at);
  const seen = (value) => (value == null ? null : Math.max(value, 0.1));
  return new uPlot({ ...common, series: [{}, ...series] }, [xs, ...parts.map((one) => one.values.map(seen))], plot);
}

// --- Drawn when there is room for it, and again when that or the theme changes -------------------

const DRAW = { bars: drawBars, lines: drawLines };

function draw(figure) {
  const told = readTable(figure.querySelector("table"));
  for (const plot of figure.querySelectorAll(".plot")) {
    const width = plot.clientWidth;
    if (!width) continue; // the table is shown
    plot.replaceChildren();
    DRAW[plot.dataset.plot](figure, told, plot, width);
  }
}

document.querySelectorAll("figure.chart").forEach((figure, number) => {
  figure.id ||= `chart-${number}`;
  let width = 0;
  new ResizeObserver(() => {
    const now = figure.querySelector(".plot").clientWidth;
    if (now && now !== width) draw(figure);
    width = now;
  }).observe(figure);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(figure));
  figure.querySelector("[data-turns-chart]").addEventListener("click", (event) => {
    const asTable = figure.classList.toggle("as-table");
    const button = event.currentTarget;
    [button.textContent, button.dataset.back] = [button.dataset.back, button.textContent];
    if (!asTable) draw(figure);
  });
});
