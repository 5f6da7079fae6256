// A cell a task, drawn on a canvas: 10,000 of them are one picture. The table below it is its twin for who cannot see it.
import { html, useEffect, useLayoutEffect, useRef, useState } from "./html.js";
import { colours, useTheme, useWidth } from "./colours.js";
import { seconds, size } from "./format.js";
import { go } from "./router.js";

const CELL_MIN = 7,
  CELL_MAX = 26,
  HEIGHT_WANTED = 420;
const STATES = { done: "done", run: "run", wait: "wait", dead: "bad", stopped: "off", pending: "empty" };
const WORDS = {
  done: "done",
  run: "running",
  wait: "waits to retry",
  dead: "failed",
  stopped: "stopped",
  pending: "pending",
};

export function Heatmap({ cells, by, job, stage }) {
  const holder = useRef(null),
    canvas = useRef(null);
  const width = useWidth(holder),
    theme = useTheme();
  const [at, point] = useState(-1);
  const total = cells.states.length;
  const fits = Math.sqrt((Math.max(1, width) * HEIGHT_WANTED) / Math.max(1, total));
  const cell = Math.max(CELL_MIN, Math.min(CELL_MAX, Math.floor(fits)));
  const columns = Math.max(1, Math.floor(width / cell)),
    rows = Math.ceil(total / columns);

  useLayoutEffect(() => {
    if (width) draw(canvas.current, cells, by, cell, columns, rows, width, at);
  }, [cells, by, width, theme, at]);
  useEffect(() => {
    if (at >= total) point(-1);
  }, [total]);

  const under = (event) => {
    const box = canvas.current.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left) / cell),
      row = Math.floor((event.clientY - box.top) / cell);
    const number = row * columns + column;
    return column < columns && number < total ? number : -1;
  };
  const open = (number) => {
    if (number >= 0) go(`/jobs/${job}/tasks/${stage}/${cells.first + number}`);
  };
  const key = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -total, End: total }[
      event.key
    ];
    if (event.key === "Enter") open(at);
    else if (step !== undefined) point(at < 0 && event.key !== "End" ? 0 : Math.max(0, Math.min(total - 1, at + step)));
    else return;
    event.preventDefault();
  };
  return html`<div ref=${holder} class="canvas">
      <canvas
        ref=${canvas}
        tabindex="0"
        role="application"
        aria-label=${`Map of ${total} tasks of ${stage}; arrows move, Enter opens a task`}
        aria-describedby="cell"
        onMouseMove=${(event) => point(under(event))}
        onMouseLeave=${() => point(-1)}
        onClick=${(event) => open(under(event))}
        onKeyDown=${key}
      ></canvas>
    </div>
    <p class="readout" id="cell" role="status">${at >= 0 && at < total ? said(cells, at, stage) : `${tally(cells)}`}</p>
    ${
      by === "state"
        ? html`<ul class="legend">
            ${Object.entries(STATES).map(([state, colour]) => html`<li key=${state}><i class=${`k-${colour}`}></i>${WORDS[state]}</li>`)}
            <li>a dot: tried more than once</li>
          </ul>`
        : html`<p class="soft small">
            The darker, the more: from ${shown(by, 0)} to ${shown(by, highest(cells, by))}.
          </p>`
    }`;
}

const values = (cells, by) => (by === "seconds" ? cells.seconds : cells.bytes);
const highest = (cells, by) => values(cells, by).reduce((most, value) => Math.max(most, value), 0);
const shown = (by, value) => (by === "seconds" ? seconds(value) : size(value));

function tally(cells) {
  const counts = {};
  for (const state of cells.states) counts[state] = (counts[state] || 0) + 1;
  return Object.keys(STATES)
    .filter((state) => counts[state])
    .map((state) => `${counts[state].toLocaleString("en-US")} ${WORDS[state]}`)
    .join(", ");
}

function said(cells, at, stage) {
  const retried = cells.retried[at] ? `, ${cells.retried[at]} earlier attempts` : "";
  return `${stage}/${cells.first + at}: ${WORDS[cells.states[at]]}, ${seconds(cells.seconds[at])}, ${size(cells.bytes[at])}${retried}`;
}

function draw(canvas, cells, by, cell, columns, rows, width, at) {
  const ratio = devicePixelRatio || 1,
    height = rows * cell;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const paint = canvas.getContext("2d");
  const found = colours(["done", "run", "wait", "bad", "empty", "off", "accent", "text", "ground", "panel"]);
  paint.scale(ratio, ratio);
  const most = by === "state" ? 0 : highest(cells, by) || 1,
    gap = cell > 9 ? 2 : 1;
  cells.states.forEach((state, number) => {
    const x = (number % columns) * cell,
      y = Math.floor(number / columns) * cell;
    if (by === "state" || state === "pending") {
      paint.globalAlpha = 1;
      paint.fillStyle = found[by === "state" ? STATES[state] || "empty" : "empty"];
    } else {
      paint.globalAlpha = 0.12 + 0.88 * (values(cells, by)[number] / most);
      paint.fillStyle = found.accent;
    }
    paint.fillRect(x, y, cell - gap, cell - gap);
    if (cells.retried[number]) {
      paint.globalAlpha = 1;
      paint.fillStyle = found.panel;
      paint.fillRect(x + (cell - gap) / 2 - 1.5, y + (cell - gap) / 2 - 1.5, 3, 3);
    }
  });
  paint.globalAlpha = 1;
  if (at >= 0) {
    paint.strokeStyle = found.text;
    paint.lineWidth = 2;
    paint.strokeRect((at % columns) * cell, Math.floor(at / columns) * cell, cell - gap, cell - gap);
  }
}
