// The first page of a job: how far, where the time goes, what failed.
import { html } from "./html.js";
import { count, dollars, seconds, size } from "./format.js";
import { Failure } from "./failure.js";
import { Facts, Quantiles, Scroll, StageBars } from "./parts.js";
import { Plot } from "./plot.js";
import { Configuration, Result } from "./result.js";
import { Link } from "./router.js";
import { Stragglers } from "./stragglers.js";

export function Overview({ job, heard }) {
  return html` ${heard.notes.map((note) => html`<p class="note" key=${note}>${note}</p>`)}
    ${heard.error.message !== undefined && heard.state === "failed" && html`<${Failure} job=${job} error=${heard.error} />`}
    <div class="grid">
      <section class="panel">
        <h2>Stages</h2>
        <${StageBars} stages=${heard.stages} />
        <h3>At a glance</h3>
        <${Facts}
          of=${{
            ETA: heard.eta !== null && heard.state === "running" ? `~${seconds(heard.eta)} for this stage` : null,
            input: size(heard.input_bytes),
            "failed attempts": count(sum(heard.stages, "failed_attempts")),
            "storage cost": dollars(heard.cost),
            priority: heard.priority,
          }}
        />
      </section>
      <section class="panel">
        <h2>Errors</h2>
        <${Errors} job=${job} groups=${heard.errors} />
      </section>
    </div>
    <section class="panel">
      <h2>Data flow</h2>
      <${Flow} edges=${heard.flow} />
    </section>
    <div class="grid">
      <section class="panel">
        <h2>Tasks running</h2>
        <${Plot}
          label="Tasks running over time"
          times=${heard.plot.times}
          values=${heard.plot.running}
          unit="tasks"
          colour="--run"
        />
      </section>
      <section class="panel">
        <h2>Records read a second</h2>
        <${Plot}
          label="Records read a second over time"
          times=${heard.plot.times}
          values=${heard.plot.records}
          unit="records/s"
          colour="--done"
        />
      </section>
      <section class="panel">
        <h2>Megabytes read a second</h2>
        <${Plot}
          label="Megabytes read a second over time"
          times=${heard.plot.times}
          values=${heard.plot.bytes.map((value) => value / 1e6)}
          unit="MB/s"
          colour="--write"
        />
      </section>
    </div>
    <p class="soft small">${sampled(heard)}</p>
    ${Object.entries(heard.statistics).map(
      ([stage, found]) =>
        html`<section class="panel" key=${stage}>
          <h2>Tasks of ${stage}</h2>
          <${Quantiles} of=${found.quantiles} label=${`Quantiles of ${stage}`} /><${Stragglers}
            job=${job}
            stage=${stage}
            of=${found.stragglers}
          />
        </section>`,
    )}
    ${heard.state === "done" && html`<${Result} job=${job} />`}
    <div class="grid">
      <section class="panel">
        <h2>Counters</h2>
        ${
          Object.keys(heard.counters).length
            ? html`<table>
                <tbody>
                  ${Object.entries(heard.counters).map(
                    ([name, value]) =>
                      html` <tr key=${name}>
                        <th scope="row">${name}</th>
                        <td class="number">${count(value)}</td>
                      </tr>`,
                  )}
                </tbody>
              </table>`
            : html`<p class="soft small">The job counts nothing of its own.</p>`
        }
      </section>
      <${Configuration} of=${heard.configuration} executable=${heard.executable} />
    </div>
    <section class="panel row">
      <h2>Take it along</h2>
      <a href=${`/api/jobs/${job}/report`} download>Report (HTML)</a
      ><a href=${`/api/jobs/${job}/trace`} download>Trace (Perfetto)</a><a href=${`/api/jobs/${job}`}>JSON</a
      ><a href="/api/openapi.json">API description</a>
    </section>`;
}

function sampled(heard) {
  const more = heard.known_tasks < heard.done_tasks ? "; more are read with each look" : "";
  const tasks = `${count(heard.known_tasks)} of ${count(heard.done_tasks)} finished tasks`;
  return `Plots, counters and quantiles are from ${tasks}${more}.`;
}

const sum = (items, name) => items.reduce((total, item) => total + (item[name] || 0), 0);

function Flow({ edges }) {
  const nodes = [edges[0].from, ...edges.map((edge) => edge.to)];
  return html`<ol class="flow">
    ${nodes.map(
      (node, at) =>
        html` ${at > 0 && html`<li class="edge" key=${`${node}-edge`}><b>${count(edges[at - 1].records)}</b> records<span></span>${size(edges[at - 1].bytes)}</li>`}
          <li class="node" key=${node}>${node}</li>`,
    )}
  </ol>`;
}

function Errors({ job, groups }) {
  if (!groups.length) return html`<p class="soft small">none</p>`;
  return html`<${Scroll} label="Errors by line of code"
    ><table>
      <thead>
        <tr>
          <th scope="col" class="number">Count</th>
          <th scope="col">Where</th>
          <th scope="col">What</th>
          <th scope="col">Tasks</th>
        </tr>
      </thead>
      <tbody>
        ${groups.map(
          (group, at) =>
            html`<tr key=${at}>
              <td class="number">${count(group.count)}</td>
              <td class="mono">
                ${group.frame || group.kind || group.outcome}${group.fatal && html` <strong class="state failed">ended the job</strong>`}
              </td>
              <td>${group.message || `the worker was ${group.outcome}`}</td>
              <td>
                ${group.tasks.filter(Boolean).map((task) => html`<${Link} key=${task} to=${`/jobs/${job}/tasks/${task}`}>${task}<//> `)}
              </td>
            </tr>`,
        )}
      </tbody>
    </table><//
  >`;
}
