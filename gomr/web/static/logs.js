// The logs of a job's tasks all together, searched on the server, from the storage or from a log sink.
import { html, useEffect, useState } from "./html.js";
import { count } from "./format.js";
import { Marked, levelOf } from "./log.js";
import { ask } from "./net.js";
import { Choice, Search, Waiting } from "./parts.js";
import { Link, place, url } from "./router.js";

export function JobLogs({ job, session }) {
  const { q = "", level = "", task = "", from = "storage" } = place.value.query;
  const levels = [["", "all"], ...session.levels.map((name) => [name, name === "error" ? name : `${name} and worse`])];
  const sources = [["storage", "storage"], ...(session.sinks || []).map((name) => [name, name])];
  return html`<section class="panel">
    <div class="row">
      <h2>Logs of all tasks</h2>
      <${Search} label="Search" value=${q} /><${Choice} label="Level" name="level" value=${level} options=${levels} />
      <${Search}
        label="Task"
        name="task"
        value=${task}
      />${sources.length > 1 && html`<${Choice} label="From" name="from" value=${from} options=${sources} />`}
    </div>
    ${from === "storage" ? html`<${Stored} key=${`${q} ${level} ${task}`} job=${job} q=${q} level=${level} task=${task} />` : html`<${Events} key=${from} job=${job} q=${q} task=${task} sink=${from} />`}
  </section>`;
}

function Stored({ job, q, level, task }) {
  const [found, keep] = useState({ lines: [], next: null, searched: 0, objects: 0, error: null });
  const more = async (cursor) => {
    try {
      const answer = await ask(url(`/api/jobs/${job}/logs`, { q, level, task, cursor }));
      keep((before) => ({
        ...answer,
        lines: [...(cursor ? before.lines : []), ...answer.lines],
        searched: (cursor ? before.searched : 0) + answer.searched,
        error: null,
      }));
    } catch (error) {
      keep((before) => ({ ...before, error: error.message }));
    }
  };
  useEffect(() => {
    more("");
  }, []);
  if (found.next === null) return html`<${Waiting} error=${found.error} />`;
  return html` <p class="soft small" role="status">
      ${count(found.lines.length)} lines; ${count(found.searched)} of ${count(found.objects)} logs searched
    </p>
    ${found.error && html`<p class="note" role="alert">${found.error}</p>`}
    <pre class="log" tabindex="0" role="region" aria-label="Lines">
${
        found.lines.length
          ? found.lines.map(
              (line) =>
                html`<div class=${levelOf(line.text)} key=${`${line.task}.${line.attempt}.${line.line}`}>
                  <${Link} to=${`/jobs/${job}/tasks/${line.task}`}>${line.task}<//
                  ><span class="n"> ${line.attempt}:${line.line}</span><${Marked} text=${line.text} query=${q} />
                </div>`,
            )
          : "no line is like that"
      }</pre>
    ${found.next && html`<p><button onClick=${() => more(found.next)}>Search further</button></p>`}`;
}

function Events({ job, q, task, sink }) {
  const [found, keep] = useState({ events: null, total: 0, error: null });
  useEffect(() => {
    ask(url(`/api/jobs/${job}/events`, { sink, task })).then(
      (answer) => keep({ ...answer, error: null }),
      (error) => keep({ events: null, total: 0, error: error.message }),
    );
  }, [job, sink, task]);
  if (!found.events) return html`<${Waiting} error=${found.error} />`;
  const shown = found.events
    .map((event) => JSON.stringify(event))
    .filter((text) => !q || text.toLowerCase().includes(q.toLowerCase()));
  return html`<p class="soft small">${count(shown.length)} of ${count(found.total)} events of ${sink}</p>
    <pre class="log" tabindex="0" role="region" aria-label="Events">
${shown.map((text, at) => html`<div key=${at}><${Marked} text=${text} query=${q} /></div>`)}</pre>`;
}
