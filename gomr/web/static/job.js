// One job: its heading and tabs, and the overview.
import { html, useState } from "./html.js";
import { count, dollars, moment, seconds, size } from "./format.js";
import { act, ask, useAnswer, useLive } from "./net.js";
import { Confirm, Facts, Quantiles, Scroll, StageBars, State, Waiting } from "./parts.js";
import { Plot } from "./plot.js";
import { Link } from "./router.js";
import { JobLogs } from "./logs.js";
import { Task } from "./task.js";
import { Tasks } from "./tasks.js";
import { Timeline } from "./timeline.js";

const ACTIONS = {
  cancel: { states: ["running", "paused"], word: "Cancel", question: "Cancel this job? Its finished tasks stay: a re-run goes on from them.", danger: true },
  pause: { states: ["running"], word: "Pause" },
  resume: { states: ["paused"], word: "Resume" },
  rerun: { states: ["failed", "cancelled"], word: "Re-run" },
};

export function Job({ job, tab, stage, index, session }) {
  const { state: heard, gone } = useLive(`/api/stream?job=${encodeURIComponent(job)}`);
  if (gone) return html`<h1>${job}</h1><p class="note" role="alert">${gone}. <${Link} to="/">All jobs<//></p>`;
  if (!heard) return html`<h1>${job}</h1><${Waiting} />`;
  const base = `/jobs/${job}`;
  return html`
    <div class="row spread">
      <div><h1>${job}</h1><div class="row"><${State} of=${heard.state} /><span class="soft">${seconds(heard.elapsed)} since ${moment(heard.created)}</span></div></div>
      ${!session.read_only && html`<${Actions} job=${job} state=${heard.state} />`}
    </div>
    <nav class="tabs" aria-label="Views of the job">
      <${Link} to=${base} current=${!tab}>Overview<//>
      <${Link} to=${`${base}/tasks`} current=${tab === "tasks" && !stage}>Tasks<//>
      <${Link} to=${`${base}/timeline`} current=${tab === "timeline"}>Timeline<//>
      <${Link} to=${`${base}/logs`} current=${tab === "logs"}>Logs<//>
      ${stage && html`<${Link} to=${`${base}/tasks/${stage}/${index}`} current>Task ${stage}/${index}<//>`}
    </nav>
    ${tab === "tasks" && stage ? html`<${Task} key=${`${stage}/${index}`} job=${job} stage=${stage} index=${index} heard=${heard} />`
      : tab === "tasks" ? html`<${Tasks} job=${job} heard=${heard} />`
      : tab === "timeline" ? html`<${Timeline} job=${job} heard=${heard} />`
      : tab === "logs" ? html`<${JobLogs} job=${job} session=${session} />`
      : html`<${Overview} job=${job} heard=${heard} />`}`;
}

function Actions({ job, state }) {
  const [asked, askFor] = useState("");
  const [said, say] = useState("");
  const run = async (name) => {
    askFor("");
    say("");
    try { await act(`/api/jobs/${job}/${name}`); say(`${ACTIONS[name].word}: done`); } catch (error) { say(error.message); }
  };
  return html`<div class="row">
    <span role="status" class="small">${said}</span>
    ${Object.entries(ACTIONS).filter(([, action]) => action.states.includes(state)).map(([name, action]) => html`
      <button key=${name} class=${action.danger ? "danger" : ""} onClick=${() => (action.question ? askFor(name) : run(name))}>${action.word}</button>`)}
    ${asked && html`<${Confirm} question=${ACTIONS[asked].question} answer=${ACTIONS[asked].word} onYes=${() => run(asked)} onNo=${() => askFor("")} />`}
  </div>`;
}

function Overview({ job, heard }) {
  return html`
    ${heard.notes.map((note) => html`<p class="note" key=${note}>${note}</p>`)}
    ${heard.error.message !== undefined && heard.state === "failed" && html`<${Failure} job=${job} error=${heard.error} />`}
    <div class="grid">
      <section class="panel"><h2>Stages</h2><${StageBars} stages=${heard.stages} />
        <h3>At a glance</h3>
        <${Facts} of=${{
          ETA: heard.eta !== null && heard.state === "running" ? `~${seconds(heard.eta)} for this stage` : null,
          input: size(heard.input_bytes), "failed attempts": count(sum(heard.stages, "retries")), "storage cost": dollars(heard.cost), priority: heard.priority,
        }} />
      </section>
      <section class="panel"><h2>Errors</h2><${Errors} job=${job} groups=${heard.errors} /></section>
    </div>
    <section class="panel"><h2>Data flow</h2><${Flow} edges=${heard.flow} /></section>
    <div class="grid">
      <section class="panel"><h2>Tasks running</h2><${Plot} label="Tasks running over time" times=${heard.plot.times} values=${heard.plot.running} unit="tasks" colour="--run" /></section>
      <section class="panel"><h2>Records read a second</h2><${Plot} label="Records read a second over time" times=${heard.plot.times} values=${heard.plot.records} unit="records/s" colour="--done" /></section>
      <section class="panel"><h2>Megabytes read a second</h2><${Plot} label="Megabytes read a second over time" times=${heard.plot.times} values=${heard.plot.bytes.map((value) => value / 1e6)} unit="MB/s" colour="--write" /></section>
    </div>
    <p class="soft small">Plots, counters and quantiles are from ${count(heard.known_tasks)} of ${count(heard.done_tasks)} finished tasks${heard.known_tasks < heard.done_tasks ? "; more are read with each look" : ""}.</p>
    ${Object.entries(heard.statistics).map(([stage, found]) => html`<section class="panel" key=${stage}><h2>Tasks of ${stage}</h2>
      <${Quantiles} of=${found.quantiles} label=${`Quantiles of ${stage}`} /><${Stragglers} job=${job} stage=${stage} of=${found.stragglers} /></section>`)}
    ${heard.state === "done" && html`<${Result} job=${job} />`}
    <div class="grid">
      <section class="panel"><h2>Counters</h2>${Object.keys(heard.counters).length ? html`<table><tbody>${Object.entries(heard.counters).map(([name, value]) => html`
        <tr key=${name}><th scope="row">${name}</th><td class="number">${count(value)}</td></tr>`)}</tbody></table>` : html`<p class="soft small">The job counts nothing of its own.</p>`}</section>
      <${Configuration} of=${heard.configuration} executable=${heard.executable} />
    </div>
    <section class="panel row"><h2>Take it along</h2>
      <a href=${`/api/jobs/${job}/report`} download>Report (HTML)</a><a href=${`/api/jobs/${job}/trace`} download>Trace (Perfetto)</a><a href=${`/api/jobs/${job}`}>JSON</a><a href="/api/openapi.json">API description</a>
    </section>`;
}

const sum = (items, name) => items.reduce((total, item) => total + (item[name] || 0), 0);

export function Failure({ job, error, here = false }) {
  return html`<section class="panel" aria-label="Why it failed"><h2>Why it failed</h2>
    <pre class="trace">${error.traceback || error.message}</pre>
    ${error.record !== undefined && error.record !== null && html`<div class="record"><span class="soft small">record ${error.record_number} of ${error.source || "input"}</span><pre>${error.record}</pre></div>`}
    ${!here && error.task && html`<p><${Link} to=${`/jobs/${job}/tasks/${error.task}`}>Task ${error.task}, attempt ${error.attempt}<//> <span class="soft">on ${error.worker}</span></p>`}
  </section>`;
}

function Flow({ edges }) {
  const nodes = [edges[0].from, ...edges.map((edge) => edge.to)];
  return html`<ol class="flow">${nodes.map((node, at) => html`
    ${at > 0 && html`<li class="edge" key=${`${node}-edge`}><b>${count(edges[at - 1].records)}</b> records<span></span>${size(edges[at - 1].bytes)}</li>`}
    <li class="node" key=${node}>${node}</li>`)}</ol>`;
}

function Errors({ job, groups }) {
  if (!groups.length) return html`<p class="soft small">none</p>`;
  return html`<${Scroll} label="Errors by line of code"><table>
    <thead><tr><th scope="col" class="number">Count</th><th scope="col">Where</th><th scope="col">What</th><th scope="col">Tasks</th></tr></thead>
    <tbody>${groups.map((group, at) => html`<tr key=${at}>
      <td class="number">${count(group.count)}</td><td class="mono">${group.frame || group.kind || group.outcome}${group.fatal && html` <strong class="state failed">ended the job</strong>`}</td>
      <td>${group.message || `the worker was ${group.outcome}`}</td>
      <td>${group.tasks.filter(Boolean).map((task) => html`<${Link} key=${task} to=${`/jobs/${job}/tasks/${task}`}>${task}<//> `)}</td></tr>`)}</tbody>
  </table><//>`;
}

export function Stragglers({ job, stage, of }) {
  if (!of.length) return html`<p class="soft small">No task takes more than three times the median.</p>`;
  return html`<p class="small"><strong>Stragglers:</strong> ${of.map((task) => html`<span key=${task.index}><${Link} to=${`/jobs/${job}/tasks/${stage}/${task.index}`}>${stage}/${task.index}<//> ${seconds(task.seconds)} (${task.times}× the median)${" "}</span>`)}</p>`;
}

function Result({ job }) {
  const { answer, error } = useAnswer(`/api/jobs/${job}/result`);
  const [preview, show] = useState(null);
  if (!answer) return html`<section class="panel"><h2>Result</h2><${Waiting} error=${error} /></section>`;
  const look = async (part) => {
    try { show((await ask(`/api/jobs/${job}/result?preview=${part}`)).preview); } catch (problem) { show(problem.message); }
  };
  return html`<section class="panel"><h2>Result</h2>
    <p class="soft small">${count(answer.total)} ${answer.total === 1 ? "part" : "parts"}, ${size(answer.bytes)}; all in one: <code>gomr result ${job}</code></p>
    <ul class="row small">${answer.parts.map((part) => html`<li key=${part.part} class="row">
      <a href=${`/api/jobs/${job}/result/${part.part}`} download>part ${part.part}</a><span class="soft">${size(part.size)}</span>
      ${answer.total > 1 && html`<button onClick=${() => look(part.part)} aria-label=${`Preview part ${part.part}`}>Preview</button>`}</li>`)}</ul>
    <pre class="log" tabindex="0" role="region" aria-label="Preview of the result">${preview ?? answer.preview}</pre></section>`;
}

function Configuration({ of, executable }) {
  const { params, inputs, inputs_total, describe, input_format, ...rest } = of;
  return html`<section class="panel"><h2>Configuration</h2>
    <${Facts} of=${{ executable: html`<span class="mono">${executable.slice(0, 16)}</span>`, submitter: rest.submitter, gomr: rest.version, partitions: count(rest.partitions),
      "split size": size(rest.split_bytes), memory: size(rest.memory_bytes), "time of a task": seconds(rest.task_seconds), attempts: rest.attempts_max, "records to skip": rest.max_skipped,
      backups: rest.backups ? "yes" : "no", "input format": input_format.format || input_format.name || null, "data plane": describe.native ? "native" : null }} />
    <h3>Parameters</h3>${Object.keys(params).length ? html`<table><tbody>${Object.entries(params).map(([name, value]) => html`<tr key=${name}><th scope="row">${name}</th><td class="mono">${String(value)}</td></tr>`)}</tbody></table>` : html`<p class="soft small">none</p>`}
    <h3>Inputs (${count(inputs.length)} of ${count(inputs_total)})</h3>
    <ul class="small">${inputs.map((input) => html`<li key=${input.url}><span class="mono">${input.url}</span> <span class="soft">${size(input.size)}</span></li>`)}</ul>
  </section>`;
}
