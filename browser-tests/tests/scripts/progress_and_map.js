const bar = Number.parseInt(document.querySelector('#session .glance .figure').textContent, 10);
const colours = getComputedStyle(document.documentElement);
const channels = (name) => colours.getPropertyValue(name).trim().match(/[0-9a-f]{2}/g).map((digits) => Number.parseInt(digits, 16));
const [whole, none] = [channels('--heat-whole'), channels('--heat-none')];
const map = document.querySelector('#map');
if (!map.width) return [bar, 0];
// A copy: reading from the page's own canvas would change how the browser keeps it.
const copy = new OffscreenCanvas(map.width, map.height).getContext('2d', { willReadFrequently: true });
copy.drawImage(map, 0, 0);
const { data } = copy.getImageData(0, 0, map.width, map.height);
const count = { whole: 0, none: 0 };
for (let at = 0; at < data.length; at += 4) {
  const is = (colour) => colour.every((channel, index) => data[at + index] === channel);
  if (is(whole)) count.whole += 1;
  else if (is(none)) count.none += 1;
}
return [bar, Math.floor((100 * count.whole) / Math.max(1, count.whole + count.none))];
