// Talks to the server: one-off questions, the live stream, actions.
import { signal, useEffect, useRef, useState } from "./html.js";

const AGAIN_MILLISECONDS = 2000;
export const trouble = signal(null); // what keeps the page from being up to date, in words; null for nothing

export async function ask(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" } });
  const body = await answer.json().catch(() => ({ error: `the server answered ${answer.status}` }));
  if (!answer.ok) {
    throw Object.assign(new Error(body.error || `the server answered ${answer.status}`), { status: answer.status });
  }
  return body;
}

export async function act(path) {
  const answer = await fetch(path, { method: "POST", headers: { "x-gomr-action": "1" } });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.error || `the server answered ${answer.status}`);
  return body;
}

// Follow a stream: returns { state, gone } and renews it as frames come; null while the first is on its way.
// `twin` is the address that answers the same once, in JSON: it tells why a stream was refused, which a stream cannot.
// A page that nobody sees lets its stream go: a browser opens no more than six connections to a server.
export function useLive(path, twin) {
  const [heard, hear] = useState({ path, state: null, gone: null });
  useEffect(() => {
    let source = null;
    let timer = 0;
    const close = () => {
      clearTimeout(timer);
      source?.close();
      source = null;
    };
    const tell = async () => {
      try {
        await ask(twin);
      } catch (error) {
        trouble.value = error.status === 404 ? null : error.message;
        if (error.status === 404) hear({ path, state: null, gone: error.message });
      }
    };
    const failed = () => {
      if (!source) return;
      trouble.value = "The server of this page does not answer; trying again.";
      if (source.readyState !== EventSource.CLOSED) return; // it tries again by itself
      close();
      tell();
      timer = setTimeout(open, AGAIN_MILLISECONDS);
    };
    const open = () => {
      if (source || document.hidden) return;
      source = new EventSource(path);
      source.addEventListener("state", (event) => {
        trouble.value = null;
        hear({ path, state: JSON.parse(event.data), gone: null });
      });
      source.addEventListener("trouble", (event) => {
        trouble.value = `The cluster does not answer: ${JSON.parse(event.data).error}`;
      });
      source.addEventListener("gone", (event) => {
        trouble.value = null;
        hear({ path, state: null, gone: JSON.parse(event.data).error });
      });
      source.onerror = failed;
    };
    const turned = () => (document.hidden ? close() : open());
    document.addEventListener("visibilitychange", turned);
    open();
    return () => {
      document.removeEventListener("visibilitychange", turned);
      close();
      trouble.value = null;
    };
  }, [path]);
  return heard.path === path ? heard : { state: null, gone: null };
}

// Ask now, and again when `version` has changed: one question at a time, and its answer counts however long it took.
// Keeps the last answer meanwhile; with `keepAny`, that of another path, too.
export function useAnswer(path, version = 0, keepAny = false) {
  const [known, keep] = useState({ path: "", answer: null, error: null });
  const asking = useRef(null); // the question on its way
  useEffect(() => {
    if (asking.current?.path === path) {
      asking.current.again = true;
      return;
    }
    const question = { path, again: true };
    asking.current = question;
    const look = async () => {
      while (question.again) {
        question.again = false;
        const heard = await ask(path).then(
          (answer) => ({ answer, error: null }),
          (error) => ({ error: error.message }),
        );
        if (asking.current !== question) return; // another path is asked for by now, or nobody looks any more
        keep((before) => ({ path, answer: before.path === path || keepAny ? before.answer : null, ...heard }));
      }
      asking.current = null;
    };
    look();
  }, [path, version]);
  useEffect(() => () => (asking.current = null), []);
  return known.path === path || keepAny ? known : { answer: null, error: null };
}
