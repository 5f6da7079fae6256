// The live workers: where they run, what they do, how one is asked to leave.
import { html, useEffect, useState } from "./html.js";
import { count, moment, size } from "./format.js";
import { act, useAnswer } from "./net.js";
import { Confirm, Scroll, State, Waiting } from "./parts.js";
import { Link } from "./router.js";

const AGAIN = 2000;

export function Workers({ session }) {
  const [version, again] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => again((before) => before + 1), AGAIN);
    return () => clearInterval(timer);
  }, []);
  const { answer, error } = useAnswer("/api/workers", version);
  const [asked, askFor] = useState("");
  const [said, say] = useState("");
  const drain = async (worker) => {
    askFor("");
    try {
      await act(`/api/workers/${worker}/drain`);
      say(`${worker} is asked to drain; it hears of it within its lease`);
    } catch (problem) {
      say(problem.message);
    }
  };
  return html`<h1>Workers</h1>
    <p role="status" class="small">${said}</p>
    ${error && html`<p class="note" role="alert">${error}</p>`}
    <section class="panel" aria-label="Workers">
      ${
        !answer
          ? html`<${Waiting} />`
          : !answer.workers.length
            ? html`<p>No worker is alive. Start one: <code>gomr worker</code></p>`
            : html` <${Scroll} label="Table of workers"
                  ><table>
                    <thead>
                      <tr>
                        <th scope="col">Worker</th>
                        <th scope="col" class="number">Slots</th>
                        <th scope="col">State</th>
                        <th scope="col" class="number">Done</th>
                        <th scope="col" class="number">Failed</th>
                        <th scope="col" class="number">Memory</th>
                        <th scope="col">Platform</th>
                        <th scope="col">Version, plugins</th>
                        <th scope="col">Started</th>
                        <th scope="col">Last record</th>
                        ${!session.read_only && html`<th scope="col"><span class="visually-hidden">Actions</span></th>`}
                      </tr>
                    </thead>
                    <tbody>
                      ${answer.workers.map(
                        (worker) =>
                          html`<tr key=${worker.worker}>
                            <td>
                              <strong>${worker.host}</strong>
                              <div class="mono small">${worker.worker}</div>
                              ${Object.entries(worker.refused).map(([digest, reason]) => html`<div class="small state wait" key=${digest}>refused ${digest.slice(0, 12)}: ${reason}</div>`)}
                            </td>
                            <td class="number">${worker.slots}</td>
                            <td>
                              ${worker.draining ? html`<${State} of="stopped" />` : worker.running.length ? html`<${State} of="run" />` : html`<span class="soft">idle</span>`}
                              ${worker.running.map((task) => html`<div class="small" key=${task}><${Running} task=${task} /></div>`)}
                            </td>
                            <td class="number">${count(worker.done)}</td>
                            <td class="number">${count(worker.failed)}</td>
                            <td class="number nowrap">${worker.memory_bytes ? size(worker.memory_bytes) : "–"}</td>
                            <td>
                              ${worker.offers.platform}
                              <div class="small soft">${(worker.offers.pythons || []).join(" ")}</div>
                            </td>
                            <td>
                              ${worker.version}
                              <div class="small soft">${worker.plugins.join(", ")}</div>
                            </td>
                            <td class="nowrap">${moment(worker.started_seconds)}</td>
                            <td class="nowrap">${moment(worker.beat_seconds)}</td>
                            ${!session.read_only && html`<td><button disabled=${worker.draining} onClick=${() => askFor(worker.worker)}>Drain</button></td>`}
                          </tr>`,
                      )}
                    </tbody>
                  </table><//
                >
                <p class="soft small">
                  Who is listed holds its lease. Counts are written once a minute, or with another change.
                </p>`
      }
    </section>
    ${asked && html`<${Confirm} question=${`Drain ${asked}? It finishes the tasks in hand, and leaves.`} answer="Drain" onYes=${() => drain(asked)} onNo=${() => askFor("")} />`}`;
}

function Running({ task }) {
  const [job, stage, index] = task.split("/");
  return html`<${Link} to=${`/jobs/${job}/tasks/${stage}/${index}`}>${job} ${stage}/${index}<//>`;
}
