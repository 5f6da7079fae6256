// Draws the bars of the time line: an axis, a row a slot, a bar an attempt with its phases.
import { colours } from "./colours.js";
import { seconds } from "./format.js";

export const ROW = 22,
  AXIS = 24;
const NAMES = ["fetch", "run", "write", "bad", "off", "empty", "backup", "soft", "line", "text"];

// `plane` says what is seen: gutter and width in pixels, began, start and span in seconds, top in pixels, rows that fit.
export function draw(canvas, answer, plane, width, at) {
  const ratio = devicePixelRatio || 1,
    height = AXIS + plane.rows * ROW;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const paint = canvas.getContext("2d"),
    found = colours(NAMES);
  paint.scale(ratio, ratio);
  paint.font = "12px system-ui";
  paint.textBaseline = "middle";
  axis(paint, plane, found, height, width);
  clipped(paint, 0, width, height, () => rows(paint, plane, found, answer.rows, width));
  clipped(paint, plane.gutter, plane.width, height, () => {
    const first = Math.floor(plane.top / ROW),
      last = first + plane.rows + 1;
    const seen = answer.bars.filter((bar) => bar[0] >= first && bar[0] <= last);
    for (const bar of seen) beside(paint, plane, found, bar);
    for (const bar of seen) inSlot(paint, plane, found, bar, bar === answer.bars[at]);
  });
}

function clipped(paint, left, width, height, paintInside) {
  paint.save();
  paint.beginPath();
  paint.rect(left, AXIS, width, height - AXIS);
  paint.clip();
  paintInside();
  paint.restore();
}

function axis(paint, plane, found, height, width) {
  const rough = plane.span / Math.max(2, Math.floor(plane.width / 110)),
    power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((value) => value >= rough);
  for (let when = Math.ceil(plane.start / step) * step; when <= plane.start + plane.span; when += step) {
    const x = plane.gutter + ((when - plane.start) / plane.span) * plane.width;
    paint.fillStyle = found.line;
    paint.fillRect(x, AXIS - 4, 1, height - AXIS + 4);
    paint.fillStyle = found.soft;
    const text = seconds(when);
    paint.fillText(text, Math.min(x + 4, width - paint.measureText(text).width), AXIS / 2);
  }
}

function rows(paint, plane, found, names, width) {
  names.forEach((name, row) => {
    const y = down(plane, row);
    if (y < AXIS - ROW || y > AXIS + plane.rows * ROW) return;
    paint.fillStyle = found.line;
    paint.fillRect(0, y, width, names[row - 1] === name ? 0.5 : 1);
    if (names[row - 1] !== name || y < AXIS + 1) {
      paint.fillStyle = found.text;
      const [, host, rest] = name.match(/^(.*)-(\d+)-[0-9a-f]+$/) || ["", name, ""];
      const label = rest ? `${host.slice(0, plane.gutter > 100 ? 12 : 3)}·${rest}` : name.slice(0, 16);
      paint.fillText(label, 2, y + ROW / 2, plane.gutter - 8);
    }
  });
}

// What happens beside a slot: thin, and below all runs, for the task before may still run there.
function beside(paint, plane, found, [row, , , , , started, ended, fetch, wait, run, write]) {
  if (!run) return;
  const thin = (from, to, colour) => piece(paint, plane, row, from, to, colour, (ROW - 6) / 3);
  thin(started, started + fetch, found.fetch);
  thin(started + fetch, started + fetch + wait, found.empty);
  thin(ended - write, ended, found.write);
}

function inSlot(paint, plane, found, [row, , , name, outcome, started, ended, fetch, wait, run, write], chosen) {
  const colour = { done: "run", run: "run", stopped: "off", overtaken: "off" }[outcome] || "bad";
  const [from, to] = run ? [started + fetch + wait, ended - write] : [started, ended];
  piece(paint, plane, row, from, to, found[colour], ROW - 6);
  if (name.endsWith("-backup") || chosen) {
    const left = across(plane, started);
    paint.strokeStyle = chosen ? found.text : found.backup;
    paint.lineWidth = 2;
    paint.strokeRect(left, down(plane, row) + 2, Math.max(3, across(plane, ended) - left), ROW - 4);
  }
}

function piece(paint, plane, row, from, to, colour, tall) {
  const left = across(plane, from),
    width = across(plane, to) - left;
  if (width <= 0) return;
  paint.fillStyle = colour;
  paint.fillRect(left, down(plane, row) + (ROW - tall) / 2, Math.max(1, width - 1), tall); // a gap tells two bars apart
}

const across = (plane, when) => plane.gutter + ((when - plane.began - plane.start) / plane.span) * plane.width;
const down = (plane, row) => AXIS + row * ROW - plane.top;
