const done = arguments[0];
(async () => {
  const [{ ClientTable, share }, { HeatMap }, { Chart }] = await Promise.all([import('/table.js'), import('/heatmap.js'), import('/chart.js')]);
  const MACHINES = 500;
  const COLUMNS = 128;
  const table = new ClientTable({ remove() {} });
  const map = new HeatMap({ choose() {} });
  const chart = () => new Chart({ title: 'Rate', lines: [{ name: 'a', colour: 'line-1' }, { name: 'b', colour: 'line-2' }], format: String, unit: () => [1, ''], least: 1 });
  const charts = [chart(), chart()];
  document.getElementById('overview').append(map.element, ...charts.map(({ element }) => element), table.element);
  await new Promise((resolve) => requestAnimationFrame(resolve));

  const clients = Array.from({ length: MACHINES }, (_, number) => ({
    client: number.toString(16).padStart(16, '0'),
    host: `room${Math.floor(number / 20) + 1}-pc${(number % 20) + 1}`,
    address: `10.0.${Math.floor(number / 200)}.${number % 200}:40000`,
    state: 'receiving', path: 'multicast', verified: 0, blocks: 15000, bytes_per_second: 0, loss: 0, dropped: 0, seconds: 0, reason: null,
  }));
  const times = Array.from({ length: 7200 }, (_, at) => at);
  const values = [times.map((at) => 9e8 + 1e6 * (at % 50)), times.map(() => 9.5e8)];
  const spent = { table: [], map: [], charts: [], all: [] };
  const measure = (name, act) => {
    const begun = performance.now();
    act();
    // Layout is part of it.
    void document.documentElement.offsetHeight;
    spent[name].push(performance.now() - begun);
  };
  for (let turn = 1; turn <= 40; turn += 1) {
    // Every machine has news, and every row of the map is another one.
    for (const client of clients) {
      Object.assign(client, { verified: turn * 300 + (client.verified % 7), bytes_per_second: 1e8 + turn, loss: turn / 1e4, seconds: turn, dropped: turn });
    }
    const hex = 'ff'.repeat(Math.floor((turn * COLUMNS) / 50)).padEnd(2 * COLUMNS, '0');
    const rows = Object.fromEntries(clients.map(({ client }) => [client, hex]));
    measure('all', () => {
      measure('table', () => {
        table.take(clients.map((client) => ({ ...client })), () => true);
        table.draw();
      });
      measure('map', () => {
        map.take(rows, COLUMNS);
        map.order(clients.map((client) => ({ client: client.client, host: client.host, share: share(client), gone: false })));
        map.draw();
      });
      measure('charts', () => {
        for (const chart of charts) {
          chart.take(times, values);
          chart.draw();
        }
      });
    });
    await new Promise((resolve) => requestAnimationFrame(resolve));
  }
  const figures = (all) => {
    const sorted = [...all].sort((a, b) => a - b);
    return { median: sorted[Math.floor(sorted.length / 2)], most: sorted.at(-1) };
  };
  return { ...Object.fromEntries(Object.entries(spent).map(([name, all]) => [name, figures(all)])), rows: table.body.rows.length };
})().then(done, (error) => done(String(error)));
