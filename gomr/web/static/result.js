// What a job gave, and how it was submitted.
import { html, useState } from "./html.js";
import { count, seconds, size } from "./format.js";
import { ask, useAnswer } from "./net.js";
import { Facts, Waiting } from "./parts.js";

export function Result({ job }) {
  const { answer, error } = useAnswer(`/api/jobs/${job}/result`);
  const [preview, show] = useState(null);
  if (!answer)
    return html`<section class="panel">
      <h2>Result</h2>
      <${Waiting} error=${error} />
    </section>`;
  const look = async (part) => {
    try {
      show((await ask(`/api/jobs/${job}/result?preview=${part}`)).preview);
    } catch (problem) {
      show(problem.message);
    }
  };
  const parts = `${count(answer.total)} ${answer.total === 1 ? "part" : "parts"}`;
  const whole = `${parts}, ${size(answer.bytes)}; all in one: `;
  return html`<section class="panel">
    <h2>Result</h2>
    <p class="soft small">${whole}<code>gomr result ${job}</code></p>
    <ul class="row small">
      ${answer.parts.map(
        (part) =>
          html`<li key=${part.part} class="row">
            <a href=${`/api/jobs/${job}/result/${part.part}`} download>part ${part.part}</a
            ><span class="soft">${size(part.size)}</span>
            ${answer.total > 1 && html`<button onClick=${() => look(part.part)} aria-label=${`Preview part ${part.part}`}>Preview</button>`}
          </li>`,
      )}
    </ul>
    <pre class="log" tabindex="0" role="region" aria-label="Preview of the result">${preview ?? answer.preview}</pre>
  </section>`;
}

export function Configuration({ of, executable }) {
  const { params, inputs, inputs_total, describe, input_format, ...rest } = of;
  return html`<section class="panel">
    <h2>Configuration</h2>
    <${Facts}
      of=${{
        executable: html`<span class="mono">${executable.slice(0, 16)}</span>`,
        submitter: rest.submitter,
        gomr: rest.version,
        partitions: count(rest.partitions),
        "split size": size(rest.split_bytes),
        memory: size(rest.memory_bytes),
        "time of a task": seconds(rest.task_seconds),
        attempts: rest.attempts_max,
        "records to skip": rest.max_skipped,
        backups: rest.backups ? "yes" : "no",
        "input format": input_format.format || input_format.name || null,
        "data plane": describe.native ? "native" : null,
      }}
    />
    <h3>Parameters</h3>
    ${
      Object.keys(params).length
        ? html`<table>
            <tbody>
              ${Object.entries(params).map(
                ([name, value]) =>
                  html`<tr key=${name}>
                    <th scope="row">${name}</th>
                    <td class="mono">${String(value)}</td>
                  </tr>`,
              )}
            </tbody>
          </table>`
        : html`<p class="soft small">none</p>`
    }
    <h3>Inputs (${count(inputs.length)} of ${count(inputs_total)})</h3>
    <ul class="small">
      ${inputs.map((input) => html`<li key=${input.url}><span class="mono">${input.url}</span> <span class="soft">${size(input.size)}</span></li>`)}
    </ul>
  </section>`;
}
