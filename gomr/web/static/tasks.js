// The tasks of a stage: a map of all of them, and a table.
import { html } from "./html.js";
import { count, seconds, size } from "./format.js";
import { Heatmap } from "./heatmap.js";
import { useAnswer } from "./net.js";
import { Choice, Pager, Quantiles, Scroll, State, Waiting } from "./parts.js";
import { Link, filter, place, url } from "./router.js";
import { Stragglers } from "./stragglers.js";

const CELLS = 10000,
  ROWS = 50;
const BY = [
  ["state", "state"],
  ["seconds", "duration"],
  ["bytes", "bytes read"],
];
const SORTS = {
  seconds: "Time",
  records_in: "Records in",
  bytes_in: "Bytes in",
  bytes_out: "Bytes out",
  attempts: "Attempts",
};

export function Tasks({ job, heard }) {
  const { query } = place.value;
  const open = heard.stages.filter((stage) => stage.tasks > 0);
  const stage = query.stage || (open.find((item) => item.state === "open" || item.failed) || heard.stages[0]).stage;
  const { by = "state", state = "", sort = "" } = query;
  const first = Number(query.first) || 0,
    from = Number(query.from) || 0;
  const version = JSON.stringify(heard.stages);
  const cells = useAnswer(url(`/api/jobs/${job}/cells/${stage}`, { first: from || "", count: CELLS }), version);
  const table = useAnswer(
    url(`/api/jobs/${job}/tasks/${stage}`, { state, sort, first: first || "", count: ROWS }),
    version,
  );
  const total = cells.answer?.total || 0;
  return html` <div class="row">
      <${Choice}
        label="Stage"
        name="stage"
        value=${stage}
        clears=${{ first: "", from: "" }}
        options=${heard.stages.map((item) => [item.stage, item.stage])}
      />
      <${Choice} label="Colour by" name="by" value=${by} options=${BY} clears=${{}} />
    </div>
    <section class="panel">
      <h2>All tasks of ${stage}</h2>
      ${
        cells.answer
          ? html` <${Heatmap} cells=${cells.answer} by=${by} job=${job} stage=${stage} />
              <div class="row small">
                <span class="soft">${count(cells.answer.states.length)} of ${count(total)} tasks shown</span> ${
                  total > CELLS &&
                  html`<button disabled=${from <= 0} onClick=${() => filter({ from: Math.max(0, from - CELLS) || "" })}>
                      Earlier tasks
                    </button>
                    <button disabled=${from + CELLS >= total} onClick=${() => filter({ from: from + CELLS })}>
                      Later tasks
                    </button>`
                }
              </div>`
          : html`<${Waiting} error=${cells.error} />`
      }
    </section>
    ${
      cells.answer &&
      html`<section class="panel">
        <h2>Quantiles</h2>
        <p class="soft small">from ${count(cells.answer.statistics.known)} finished tasks</p>
        <${Quantiles} of=${cells.answer.statistics.quantiles} label="Quantiles" />
        <${Stragglers} job=${job} stage=${stage} of=${cells.answer.statistics.stragglers} />
      </section>`
    }
    <section class="panel">
      <div class="row spread">
        <h2>Table</h2>
        <${Choice}
          label="State"
          name="state"
          value=${state}
          options=${[
            ["", "all"],
            ["run", "running"],
            ["wait", "waits to retry"],
            ["dead", "failed"],
            ["done", "done"],
            ["pending", "pending"],
          ]}
        />
      </div>
      ${
        table.answer
          ? html`<${Table} job=${job} stage=${stage} rows=${table.answer.tasks} sort=${sort} />
              <${Pager}
                first=${table.answer.first}
                shown=${table.answer.tasks.length}
                total=${table.answer.total}
                page=${ROWS}
              />
              ${(sort || state) && table.answer.total < table.answer.tasks_of_stage && html`<p class="soft small">${count(table.answer.total)} of ${count(table.answer.tasks_of_stage)} tasks are like that, or known by now.</p>`}`
          : html`<${Waiting} error=${table.error} />`
      }
    </section>`;
}

function Table({ job, stage, rows, sort }) {
  const heading = (name) =>
    html`<th scope="col" class="number" key=${name}>
      <button aria-pressed=${sort === name} onClick=${() => filter({ sort: sort === name ? "" : name, first: "" })}>
        ${SORTS[name]}
      </button>
    </th>`;
  return html`<${Scroll} label="Table of tasks"
    ><table>
      <thead>
        <tr>
          <th scope="col">Task</th>
          <th scope="col">State</th>
          ${heading("attempts")}${heading("seconds")}
          <th scope="col" class="number">Fetch</th>
          <th scope="col" class="number">Run</th>
          <th scope="col" class="number">Upload</th>
          ${heading("records_in")}
          <th scope="col" class="number">Records out</th>
          ${heading("bytes_in")}${heading("bytes_out")}
          <th scope="col" class="number">Memory</th>
          <th scope="col">Worker</th>
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (task) =>
            html`<tr key=${task.index}>
              <td class="nowrap">
                <${Link} to=${`/jobs/${job}/tasks/${stage}/${task.index}`}>${stage}/${task.index}<//>
              </td>
              <td><${State} of=${task.state} />${task.message && html`<div class="small">${task.message}</div>`}</td>
              <td class="number">${task.attempts}</td>
              <td class="number nowrap">
                ${task.state === "run" ? seconds(task.seconds) : known(task, seconds(task.seconds))}
              </td>
              <td class="number nowrap">${known(task, seconds(task.fetch))}</td>
              <td class="number nowrap">${known(task, seconds(task.run))}</td>
              <td class="number nowrap">${known(task, seconds(task.write))}</td>
              <td class="number">${known(task, count(task.records_in))}</td>
              <td class="number">${known(task, count(task.records_out))}</td>
              <td class="number nowrap">${known(task, size(task.bytes_in))}</td>
              <td class="number nowrap">${known(task, size(task.bytes_out))}</td>
              <td class="number nowrap">${known(task, size(task.memory))}</td>
              <td class="mono">${task.worker}</td>
            </tr>`,
        )}
      </tbody>
    </table><//
  >`;
}

const known = (task, shown) => (task.state === "done" ? shown : "–");
