// One task: why it failed, its attempts, its numbers, its log.
import { html } from "./html.js";
import { count, moment, seconds, size } from "./format.js";
import { Failure } from "./failure.js";
import { LogView } from "./log.js";
import { useAnswer } from "./net.js";
import { Facts, Scroll, State, Waiting } from "./parts.js";

export function Task({ job, stage, index, heard }) {
  const { answer: task, error } = useAnswer(
    `/api/jobs/${job}/tasks/${stage}/${index}`,
    JSON.stringify(heard.stages) + heard.state + heard.elapsed,
  );
  if (!task) return html`<${Waiting} error=${error} />`;
  const runs = task.state === "run";
  const known = task.state === "done";
  return html` ${task.error.message !== undefined && html`<${Failure} job=${job} error=${task.error} here />`}
    <div class="grid">
      <section class="panel">
        <h2>Task ${stage}/${index}</h2>
        <${Facts}
          of=${{
            state: html`<${State} of=${task.state} />`,
            attempt: task.attempt,
            worker: task.worker,
            started: moment(task.started),
            time: known || runs ? seconds(task.seconds) : null,
            fetch: known ? seconds(task.fetch) : null,
            "waited for a slot": known ? seconds(task.wait) : null,
            run: known ? seconds(task.run) : null,
            upload: known ? seconds(task.write) : null,
            "records in": known ? count(task.records_in) : null,
            "records out": known ? count(task.records_out) : null,
            "bytes in": known ? size(task.bytes_in) : null,
            "bytes out": known ? size(task.bytes_out) : null,
            "peak memory": known ? size(task.memory) : null,
            spills: known ? count(task.spills) : null,
            skipped: task.skipped || null,
            partition: task.partition,
          }}
        />
        ${task.has_backup && html`<p class="note">A backup of this task runs, too: whichever ends first counts.</p>`}
        ${
          Object.keys(task.counters).length > 0 &&
          html`<h3>Counters</h3>
            <table>
              <tbody>
                ${Object.entries(task.counters).map(
                  ([name, value]) =>
                    html`<tr key=${name}>
                      <th scope="row">${name}</th>
                      <td class="number">${count(value)}</td>
                    </tr>`,
                )}
              </tbody>
            </table>`
        }
      </section>
      <section class="panel">
        <h2>Input</h2>
        ${
          task.pieces.length
            ? html`<ul class="small">
                ${task.pieces.map((piece, at) => html`<li key=${at}><span class="mono">${piece.input}</span> <span class="soft">${size(piece.length)} from byte ${count(piece.offset)}</span></li>`)}
              </ul>`
            : html`<p class="soft">The blocks of partition ${task.partition} of all map tasks.</p>`
        }
      </section>
    </div>
    <section class="panel">
      <h2>Attempts</h2>
      <${Attempts} task=${task} />
    </section>
    <section class="panel">
      <h2>Log</h2>
      <${LogView} job=${job} stage=${stage} index=${index} attempts=${task.logs} runs=${runs} current=${task.attempt} />
    </section>`;
}

function Attempts({ task }) {
  if (!task.attempts) return html`<p class="soft small">not begun</p>`;
  const last = {
    attempt: task.attempt,
    worker: task.worker,
    started: task.started,
    ended: task.state === "run" ? 0 : task.started + task.seconds + task.wait,
    outcome: task.state,
    message: task.message,
  };
  const list = ["wait", "dead"].includes(task.state) ? task.history : [...task.history, last];
  return html`<${Scroll} label="Attempts"
    ><table>
      <thead>
        <tr>
          <th scope="col">Attempt</th>
          <th scope="col">Outcome</th>
          <th scope="col">Started</th>
          <th scope="col" class="number">Time</th>
          <th scope="col">Worker</th>
          <th scope="col">Why</th>
        </tr>
      </thead>
      <tbody>
        ${list.map(
          (entry, at) =>
            html`<tr key=${at}>
              <td>${entry.attempt}</td>
              <td><${State} of=${entry.outcome} /></td>
              <td class="nowrap">${moment(entry.started)}</td>
              <td class="number nowrap">
                ${entry.ended && entry.started ? seconds(entry.ended - entry.started) : "–"}
              </td>
              <td class="mono">${entry.worker}</td>
              <td>${entry.message}${entry.frame && html`<div class="mono">${entry.frame}</div>`}</td>
            </tr>`,
        )}
      </tbody>
    </table><//
  >`;
}
