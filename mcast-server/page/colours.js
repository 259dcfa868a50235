// Colours that canvases need: read from the style sheet, so that both schemes stand there alone.

/** A colour of the style sheet by its name. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/**
 * What 0 to 255 look like on a heat map, as pixels: one hue that grows stronger, so that its lightness alone tells,
 * and another step for what is whole.
 */
export function heatScale() {
  const stops = ['heat-none', 'heat-little', 'heat-half', 'heat-most'].map((name) => channels(colour(name)));
  const whole = channels(colour('heat-whole'));
  const scale = new Uint32Array(256);
  for (let value = 0; value < 255; value += 1) {
    const at = (value / 254) * (stops.length - 1);
    const low = Math.min(Math.floor(at), stops.length - 2);
    scale[value] = pixel(stops[low].map((from, channel) => from + (stops[low + 1][channel] - from) * (at - low)));
  }
  scale[255] = pixel(whole);
  return scale;
}

/** Calls back when the colours changed: by choice, or with the system. */
export function onColours(change) {
  new MutationObserver(change).observe(document.documentElement, { attributeFilter: ['data-theme'] });
}

/** `#rrggbb` as three numbers. */
function channels(hex) {
  return [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
}

/** As canvases keep it, on machines that put the lowest byte first. */
function pixel([red, green, blue]) {
  return ((255 << 24) | (Math.round(blue) << 16) | (Math.round(green) << 8) | Math.round(red)) >>> 0;
}
