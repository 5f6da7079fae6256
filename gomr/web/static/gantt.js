// The bars of the time line on a canvas, with zoom and pan by wheel, mouse and keys.
import { html, useLayoutEffect, useEffect, useRef, useState } from "./html.js";
import { colours, useTheme, useWidth } from "./colours.js";
import { seconds } from "./format.js";
import { go } from "./router.js";

const ROW = 22,
  AXIS = 24,
  GUTTER = 150,
  GUTTER_NARROW = 64,
  ROWS_SHOWN = 30;
const NAMES = ["fetch", "run", "write", "bad", "off", "empty", "backup", "soft", "line", "text", "panel", "done"];

export function Gantt({ job, answer, view, onLook }) {
  const holder = useRef(null),
    canvas = useRef(null),
    dragged = useRef(null);
  const width = useWidth(holder),
    theme = useTheme();
  const [at, point] = useState(-1);
  const gutter = width < 600 ? GUTTER_NARROW : GUTTER;
  const plane = {
    gutter,
    width: Math.max(1, width - gutter),
    began: answer.began,
    start: view[0],
    span: Math.max(0.001, view[1] - view[0]),
  };
  useLayoutEffect(() => {
    if (width) draw(canvas.current, answer, plane, width, at);
  }, [answer, width, theme, at, view[0], view[1]]);

  const moment = (x) => view[0] + ((x - gutter) / plane.width) * plane.span;
  const zoom = (around, factor) => onLook(around - (around - view[0]) * factor, around + (view[1] - around) * factor);
  const pan = (share) => onLook(view[0] + share * plane.span, view[1] + share * plane.span);
  useEffect(() => {
    const wheel = (event) => {
      if (!event.deltaY) return;
      event.preventDefault();
      zoom(moment(event.clientX - canvas.current.getBoundingClientRect().left), event.deltaY > 0 ? 1.25 : 0.8);
    };
    canvas.current.addEventListener("wheel", wheel, { passive: false });
    return () => canvas.current?.removeEventListener("wheel", wheel);
  });
  const under = (event) => {
    const box = canvas.current.getBoundingClientRect(),
      row = Math.floor((event.clientY - box.top - AXIS) / ROW),
      when = answer.began + moment(event.clientX - box.left);
    const slack = (2 / plane.width) * plane.span;
    return answer.bars.findIndex((bar) => bar[0] === row && bar[5] - slack <= when && bar[6] + slack >= when);
  };
  const open = (number) => {
    const bar = answer.bars[number];
    if (bar) go(`/jobs/${job}/tasks/${bar[1]}/${bar[2]}`);
  };
  const move = (event) => {
    if (!dragged.current) {
      point(under(event));
      return;
    }
    const share = (dragged.current.x - event.clientX) / plane.width;
    dragged.current.far ||= Math.abs(dragged.current.x - event.clientX) > 3;
    if (dragged.current.far)
      onLook(dragged.current.view[0] + share * plane.span, dragged.current.view[1] + share * plane.span);
  };
  const drop = (event) => {
    if (dragged.current && !dragged.current.far) open(under(event));
    dragged.current = null;
  };
  const key = (event) => {
    const middle = (view[0] + view[1]) / 2;
    const acts = {
      "+": () => zoom(middle, 0.5),
      "=": () => zoom(middle, 0.5),
      "-": () => zoom(middle, 2),
      0: () => onLook(0, answer.ended - answer.began),
      ArrowLeft: () => pan(-0.2),
      ArrowRight: () => pan(0.2),
      ArrowDown: () => point(Math.min(answer.bars.length - 1, at + 1)),
      ArrowUp: () => point(Math.max(0, at - 1)),
      Enter: () => open(at),
    };
    if (!acts[event.key]) return;
    acts[event.key]();
    event.preventDefault();
  };
  const bar = answer.bars[at];
  return html`<div class="scroll" style=${{ maxHeight: `${ROWS_SHOWN * ROW + AXIS}px`, overflowY: "auto" }}>
      <div ref=${holder} class="canvas">
        <canvas
          ref=${canvas}
          tabindex="0"
          role="application"
          aria-label=${`Time line of ${answer.bars.length} attempts in ${answer.rows.length} rows; plus and minus zoom, left and right pan, up and down walk through attempts, Enter opens one`}
          aria-describedby="bar"
          onMouseMove=${move}
          onMouseLeave=${() => {
            point(-1);
            dragged.current = null;
          }}
          onMouseDown=${(event) => {
            dragged.current = { x: event.clientX, view: [...view], far: false };
          }}
          onMouseUp=${drop}
          onKeyDown=${key}
        ></canvas>
      </div>
    </div>
    <p class="readout" id="bar" role="status">
      ${bar ? said(bar, answer) : `${seconds(view[0])} to ${seconds(view[1])} after the submit`}
    </p>`;
}

function said([row, stage, index, attempt, outcome, started, ended, fetch, wait, run, write], answer) {
  const phases = run
    ? `: fetch ${seconds(fetch)}, wait ${seconds(wait)}, run ${seconds(run)}, upload ${seconds(write)}`
    : "";
  return `${stage}/${index} attempt ${attempt}, ${outcome === "run" ? "running" : outcome}, ${seconds(ended - started)}${phases}, on ${answer.rows[row]}`;
}

function draw(canvas, answer, plane, width, at) {
  const ratio = devicePixelRatio || 1,
    height = AXIS + Math.max(1, answer.rows.length) * ROW;
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
  rows(paint, plane, found, answer.rows, width);
  paint.save();
  paint.beginPath();
  paint.rect(plane.gutter, AXIS, plane.width, height);
  paint.clip();
  answer.bars.forEach((bar, number) => attempt(paint, plane, found, bar, number === at));
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
    const y = AXIS + row * ROW;
    paint.fillStyle = found.line;
    paint.fillRect(0, y, width, names[row - 1] === name ? 0.5 : 1);
    if (names[row - 1] !== name) {
      paint.fillStyle = found.text;
      const [, host, rest] = name.match(/^(.*)-(\d+)-[0-9a-f]+$/) || ["", name, ""];
      const label = rest ? `${host.slice(0, plane.gutter > 100 ? 12 : 3)}·${rest}` : name.slice(0, 16);
      paint.fillText(label, 2, y + ROW / 2, plane.gutter - 8);
    }
  });
}

function attempt(paint, plane, found, [row, , , name, outcome, started, ended, fetch, wait, run, write], chosen) {
  const x = (when) => plane.gutter + ((when - plane.began - plane.start) / plane.span) * plane.width;
  const y = AXIS + row * ROW + 3,
    tall = ROW - 6;
  const piece = (from, to, colour, thin = false) => {
    paint.fillStyle = colour;
    paint.fillRect(
      x(from),
      thin ? y + tall / 3 : y,
      Math.max(1, x(to) - x(from) - (to === ended ? 1 : 0)),
      thin ? tall / 3 : tall,
    );
  };
  if (run) {
    piece(started, started + fetch, found.fetch, true);
    piece(started + fetch, started + fetch + wait, found.empty, true);
    piece(started + fetch + wait, ended - write, found.run);
    piece(ended - write, ended, found.write, true);
  } else {
    piece(started, ended, outcome === "run" ? found.run : outcome === "overtaken" ? found.off : found.bad);
  }
  if (name.endsWith("-backup") || chosen) {
    paint.strokeStyle = chosen ? found.text : found.backup;
    paint.lineWidth = 2;
    paint.strokeRect(x(started), y - 1, Math.max(3, x(ended) - x(started)), tall + 2);
  }
}
