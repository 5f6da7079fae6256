// The bars of the time line on a canvas, with zoom and pan by wheel, mouse and keys.
import { html, useLayoutEffect, useEffect, useRef, useState } from "./html.js";
import { AXIS, ROW, draw } from "./bars.js";
import { useTheme, useWidth } from "./colours.js";
import { seconds } from "./format.js";
import { go } from "./router.js";

const GUTTER = 150,
  GUTTER_NARROW = 64,
  ROWS_SHOWN = 30;

export function Gantt({ job, answer, view, onLook }) {
  const scroller = useRef(null),
    holder = useRef(null),
    canvas = useRef(null),
    dragged = useRef(null);
  const width = useWidth(holder),
    theme = useTheme();
  const [at, point] = useState(-1);
  const [top, scrolled] = useState(0);
  const rows = Math.max(1, answer.rows.length);
  const gutter = width < 600 ? GUTTER_NARROW : GUTTER;
  const plane = {
    gutter,
    width: Math.max(1, width - gutter),
    began: answer.began,
    start: view[0],
    span: Math.max(0.001, view[1] - view[0]),
    top,
    rows: Math.min(rows, ROWS_SHOWN),
  };
  useLayoutEffect(() => {
    if (width) draw(canvas.current, answer, plane, width, at);
  }, [answer, width, theme, at, top, view[0], view[1]]);

  const moment = (x) => view[0] + ((x - gutter) / plane.width) * plane.span;
  const zoom = (around, factor) => onLook(around - (around - view[0]) * factor, around + (view[1] - around) * factor);
  const pan = (share) => onLook(view[0] + share * plane.span, view[1] + share * plane.span);
  useEffect(() => {
    const wheel = (event) => {
      if (!event.deltaY || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      zoom(moment(event.clientX - canvas.current.getBoundingClientRect().left), event.deltaY > 0 ? 1.25 : 0.8);
    };
    canvas.current.addEventListener("wheel", wheel, { passive: false });
    return () => canvas.current?.removeEventListener("wheel", wheel);
  });
  const under = (event) => {
    const box = canvas.current.getBoundingClientRect(),
      row = Math.floor((event.clientY - box.top - AXIS + top) / ROW),
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
  const walk = (number) => {
    const bar = answer.bars[number];
    point(number);
    if (!bar) return;
    const y = bar[0] * ROW;
    if (y < top || y + ROW > top + plane.rows * ROW) scroller.current.scrollTop = y - (plane.rows * ROW) / 2;
    const when = bar[5] - answer.began;
    if (when > view[1] || bar[6] - answer.began < view[0]) onLook(when - plane.span / 2, when + plane.span / 2);
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
      ArrowDown: () => walk(Math.min(answer.bars.length - 1, at + 1)),
      ArrowUp: () => walk(Math.max(0, at - 1)),
      Enter: () => open(at),
    };
    if (!acts[event.key]) return;
    acts[event.key]();
    event.preventDefault();
  };
  const bar = answer.bars[at];
  // The canvas is as tall as what is seen, and stays in place: its rows move when the box is scrolled.
  return html`<div
      ref=${scroller}
      class="scroll"
      style=${{ maxHeight: `${ROWS_SHOWN * ROW + AXIS}px`, overflowY: "auto" }}
      onScroll=${(event) => scrolled(event.target.scrollTop)}
    >
      <div style=${{ height: `${rows * ROW + AXIS}px` }}>
        <div ref=${holder} class="canvas" style=${{ position: "sticky", top: 0 }}>
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
