// Colours for canvases: read from the page's variables, so that light and dark hold there too.
import { useEffect, useState } from "./html.js";

const dark = matchMedia("(prefers-color-scheme: dark)");

// Return a canvas's colour for a variable: light-dark() is resolved by a probe element.
export function colours(names) {
  const probe = document.createElement("span");
  document.body.append(probe);
  const found = {};
  for (const name of names) {
    probe.style.color = `var(--${name})`;
    found[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return found;
}

// A number that changes whenever the theme does.
export function useTheme() {
  const [version, change] = useState(0);
  useEffect(() => {
    const next = () => change((before) => before + 1);
    addEventListener("gomr-theme", next);
    dark.addEventListener("change", next);
    return () => {
      removeEventListener("gomr-theme", next);
      dark.removeEventListener("change", next);
    };
  }, []);
  return version;
}

// The width of an element, followed as it changes.
export function useWidth(element) {
  const [width, measure] = useState(0);
  useEffect(() => {
    const watch = new ResizeObserver(([entry]) => measure(Math.floor(entry.contentRect.width)));
    watch.observe(element.current);
    return () => watch.disconnect();
  }, []);
  return width;
}
