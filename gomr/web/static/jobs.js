// The page of all jobs: what runs, how far, what failed.
import { html, useMemo } from "./html.js";
import { dollars, moment, seconds, size } from "./format.js";
import { useLive } from "./net.js";
import { Choice, Pager, Scroll, Search, StageBars, State, Waiting } from "./parts.js";
import { Link, place, url } from "./router.js";

const PAGE = 50;
const STATES = ["running", "paused", "done", "failed", "cancelled"];

export function Jobs() {
  const { state = "", q = "", first = "" } = place.value.query;
  const path = useMemo(() => url("/api/stream", { state, q, first }), [state, q, first]);
  const { state: heard } = useLive(path, "/api/jobs?count=1");
  const counts = heard?.counts || {};
  const options = [["", "all"], ...STATES.map((name) => [name, `${name} (${counts[name] || 0})`])];
  return html` <div class="row spread">
      <h1>Jobs</h1>
      <div class="row">
        <${Choice} label="State" name="state" value=${state} options=${options} /><${Search}
          label="Search"
          value=${q}
        />
      </div>
    </div>
    ${heard && !heard.workers && counts.running > 0 && html`<p class="note">No worker is alive. Start one: <code>gomr worker</code></p>`}
    <section class="panel" aria-label="Jobs">
      ${
        !heard
          ? html`<${Waiting} />`
          : !heard.jobs.length
            ? html`<${None} filtered=${state || q} />`
            : html` <${Scroll} label="Table of jobs"
                ><table>
                  <thead>
                    <tr>
                      <th scope="col">Job</th>
                      <th scope="col">State</th>
                      <th scope="col">Stages</th>
                      <th scope="col" class="number">Elapsed</th>
                      <th scope="col" class="number">ETA</th>
                      <th scope="col" class="number">Input</th>
                      <th scope="col" class="number">Cost</th>
                      <th scope="col">Started</th>
                      <th scope="col">Digest</th>
                    </tr>
                  </thead>
                  <tbody>
                    ${heard.jobs.map((job) => html`<${Row} key=${job.job} job=${job} />`)}
                  </tbody>
                </table><//
              >`
      }
      ${heard && html`<${Pager} first=${heard.first} shown=${heard.jobs.length} total=${heard.total} page=${PAGE} of="jobs" />`}
    </section>`;
}

function Row({ job }) {
  return html`<tr>
    <td>
      <${Link} to=${`/jobs/${job.job}`}><strong>${job.job}</strong><//
      >${job.error && html`<div class="small state failed">${job.error}</div>`}
    </td>
    <td><${State} of=${job.state} /></td>
    <td><${StageBars} stages=${job.stages} /></td>
    <td class="number nowrap">${seconds(job.elapsed)}</td>
    <td class="number nowrap">${job.state === "running" && job.eta !== null ? `~${seconds(job.eta)}` : "–"}</td>
    <td class="number nowrap">${job.input_bytes ? size(job.input_bytes) : "–"}</td>
    <td class="number nowrap">${dollars(job.cost)}</td>
    <td class="nowrap">${moment(job.created)}</td>
    <td class="mono" title=${job.executable}>${job.executable.slice(0, 8)}</td>
  </tr>`;
}

function None({ filtered }) {
  if (filtered) return html`<p>No job is like that.</p>`;
  return html`<p>No job yet. Submit one:</p>
    <pre>gomr submit wordcount.py 'books/**/*.txt'</pre>`;
}
