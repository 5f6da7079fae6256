// When each attempt ran, and where: a row a slot of a worker, a bar an attempt.
import { html, useState } from "./html.js";
import { count, seconds } from "./format.js";
import { Gantt } from "./gantt.js";
import { useAnswer } from "./net.js";
import { Waiting } from "./parts.js";
import { Link, filter, place, url } from "./router.js";

const SKEW = 2; // times the median: said without being asked
const MERGE = 300; // milliseconds that the address waits for the end of a zoom

let timer = 0;

export function Timeline({ job, heard }) {
  const { from = "", to = "" } = place.value.query;
  const { answer, error } = useAnswer(
    url(`/api/jobs/${job}/timeline`, { from, to }),
    JSON.stringify(heard.stages) + heard.state,
    true,
  );
  const [seen, see] = useState(null);
  if (!answer) return html`<${Waiting} error=${error} />`;
  const span = Math.max(0.001, answer.ended - answer.began);
  const view = seen || [Number(from) || 0, to === "" ? span : Number(to)];
  const look = (start, end) => {
    const low = Math.max(0, start),
      high = Math.min(span, Math.max(end, low + 0.01));
    const whole = low <= 0 && high >= span;
    see(whole ? null : [low, high]);
    clearTimeout(timer);
    timer = setTimeout(() => {
      filter(whole ? { from: "", to: "" } : { from: low.toFixed(3), to: high.toFixed(3) });
      see(null);
    }, MERGE);
  };
  const middle = (view[0] + view[1]) / 2,
    half = (view[1] - view[0]) / 2;
  const source = `from ${count(answer.known_tasks)} of ${count(answer.tasks)} tasks`;
  const shown = `${count(answer.shown)} of ${count(answer.total)} attempts shown, ${source}`;
  return html` <section class="panel">
    <div class="row spread">
      <h2>Timeline</h2>
      <div class="row">
        <button onClick=${() => look(middle - half / 2, middle + half / 2)}>Zoom in</button
        ><button onClick=${() => look(middle - half * 2, middle + half * 2)}>Zoom out</button
        ><button onClick=${() => look(0, span)}>Fit</button>
      </div>
    </div>
    <p class="soft small">${shown}. Ctrl and wheel, or + and −, zoom; dragging and arrows pan; 0 fits.</p>
    <${Skew} job=${job} bars=${answer.bars} />
    <${Gantt} job=${job} answer=${answer} view=${view} onLook=${look} />
    <ul class="legend">
      <li><i class="k-fetch"></i>fetch</li>
      <li><i class="k-empty"></i>waits for a slot</li>
      <li><i class="k-run"></i>run</li>
      <li><i class="k-write"></i>upload</li>
      <li><i class="k-bad"></i>failed, or lost with its worker</li>
      <li><i class="k-off"></i>overtaken by a backup</li>
      <li><i class="k-backup"></i>backup</li>
    </ul>
  </section>`;
}

// Bars are [row, stage, index, attempt, outcome, started, ended, fetch, wait, run, write].
function Skew({ job, bars }) {
  const stages = {};
  for (const bar of bars) if (bar[4] === "done") (stages[bar[1]] ||= []).push(bar);
  return html`<ul class="small">
    ${Object.entries(stages).map(([stage, found]) => {
      const took = (bar) => bar[6] - bar[5] - bar[8];
      const ordered = [...found].sort((one, other) => took(one) - took(other));
      const median = took(ordered[Math.floor(ordered.length / 2)]),
        slowest = ordered.at(-1),
        times = took(slowest) / Math.max(median, 0.001);
      const task = `${stage}/${slowest[2]}`;
      const usual = ` median ${seconds(median)}; slowest `;
      const most = ` ${seconds(took(slowest))}, ${times.toFixed(1)}× the median `;
      return html`<li key=${stage}>
        <strong>${stage}:</strong>${usual}<${Link} to=${`/jobs/${job}/tasks/${task}`}>${task}<//>${most}
        ${times >= SKEW && html`<strong class="state wait">skewed</strong>`}
      </li>`;
    })}
  </ul>`;
}
