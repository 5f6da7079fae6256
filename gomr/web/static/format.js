// Numbers, sizes and times as people read them.
const UNITS = ["B", "KB", "MB", "GB", "TB"];

export function size(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  let value = bytes,
    unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return unit ? `${value.toFixed(1)} ${UNITS[unit]}` : `${Math.round(value)} B`;
}

export function count(value) {
  return value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en-US");
}

export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value > 0 && value < 0.001) return `${(value * 1000).toFixed(2)} ms`;
  if (value < 0.1) return `${Math.round(value * 1000)} ms`;
  if (value < 60) return `${value.toFixed(1)} s`;
  const whole = Math.floor(value),
    hours = Math.floor(whole / 3600),
    minutes = Math.floor((whole % 3600) / 60);
  const two = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)} h` : `${minutes}:${two(whole % 60)} min`;
}

export function moment(since) {
  if (!since) return "–";
  const at = new Date(since * 1000),
    two = (number) => String(number).padStart(2, "0");
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

export function dollars(value) {
  return value ? `$${value < 0.01 ? value.toFixed(5) : value.toFixed(2)}` : "$0";
}

export function quantity(name, value) {
  if (name === "seconds") return seconds(value);
  return name.startsWith("bytes") || name === "memory" ? size(value) : count(value);
}
