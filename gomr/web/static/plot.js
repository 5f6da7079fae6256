// A line over time, drawn by uPlot in the page's colours; what it shows is said in words, too.
import uPlot from "uplot";
import { html, useEffect, useRef } from "./html.js";
import { colours, useTheme, useWidth } from "./colours.js";

const HEIGHT = 180;

export function Plot({ label, times, values, unit, colour }) {
  const holder = useRef(null),
    plot = useRef(null);
  const theme = useTheme(),
    width = useWidth(holder);
  useEffect(() => {
    if (!width) return undefined;
    const found = colours(["soft", "line", colour.slice(2)]);
    const axis = {
      stroke: found.soft,
      grid: { stroke: found.line, width: 1 },
      ticks: { stroke: found.line },
      font: "12px system-ui",
    };
    plot.current = new uPlot(
      {
        width,
        height: HEIGHT,
        legend: { show: false },
        cursor: { y: false },
        scales: { x: { time: false }, y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
        series: [
          {},
          {
            stroke: found[colour.slice(2)],
            width: 2,
            fill: found[colour.slice(2)].replace("rgb(", "rgba(").replace(")", ", 0.14)"),
            points: { show: false },
          },
        ],
        axes: [
          { ...axis, values: (_, at) => at.map((value) => `${value} s`) },
          { ...axis, size: 62, values: (_, at) => at.map(short) },
        ],
      },
      [times, values],
      holder.current,
    );
    return () => plot.current.destroy();
  }, [width, theme, colour]);
  useEffect(() => {
    plot.current?.setData([times, values]);
  }, [times, values]);
  const highest = Math.max(0, ...values),
    now = values.at(-1) || 0;
  return html`<div
      class="plot"
      ref=${holder}
      role="img"
      aria-label=${`${label}: at most ${short(highest)} ${unit}, ${short(now)} at the end`}
    ></div>
    <p class="soft small">at most ${short(highest)} ${unit}</p>`;
}

function short(value) {
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)}M`;
  if (value >= 1e3) return `${(value / 1e3).toFixed(1)}k`;
  return value >= 10 || value === Math.round(value) ? String(Math.round(value)) : value.toFixed(2);
}
