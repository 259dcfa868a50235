const done = arguments[0];
(async () => {
  const [{ PxeView }, { Boots }] = await Promise.all([import('/pxe.js'), import('/boots.js')]);
  // A view of its own, which the page's own news do not reach.
  const old = document.getElementById('pxe');
  const element = old.cloneNode(true);
  for (const part of element.querySelectorAll('tbody, ul, dl, [data-part=state], [data-part=actions]')) part.replaceChildren();
  old.replaceWith(element);
  const store = { isOperator: true, status: { kind: 'live' }, now: Date.now, changed() {}, failed() {}, lookAtBoots() {} };
  const view = new PxeView(element);
  view.enter(store);
  store.boots = new Boots(store);
  const machine = (number, stage, more = {}) => ({
    mac: `52:54:00:00:${Math.floor(number / 256).toString(16).padStart(2, '0')}:${(number % 256).toString(16).padStart(2, '0')}`,
    uuid: null, computer: `room1-pc${number + 1}`, platform: 'uefi-x64', address: `10.0.${Math.floor(number / 200)}.${number % 200 + 10}`,
    stage, deployment: 'install', text: `it is at ${stage}`, refused: false, since_ms: Date.now() - number * 100, ms: Date.now(), ...more,
  });
  const all = Array.from({ length: 500 }, (_, number) => machine(number, 'dhcp'));
  const part = (name, value) => { store.boots[name] = value; };
  part('status', { enabled: true, mode: 'full', interfaces: [{ name: 'eth1', addresses: ['10.0.0.5'] }], respond: true, respond_here: true, unknown: false, unknown_here: false, password: true, computers: 500, deployments: 1, images: 1, leases: 500, booting: 500 });
  part('computers', all.map(({ computer, mac, uuid, address }) => ({ name: computer, macs: [mac], uuid, address })));
  part('deployments', [{ name: 'install', target: 'known', boot_image: 'client', image: 'lab.img', available_seconds: null, once: true, until_ms: null, over: false, done: [all[0].mac] }]);
  part('images', [{ name: 'client', programs: [{ platform: 'uefi-x64', kind: 'kernel', needs_64_bit: true, files: ['vmlinuz'], arguments: '' }], bytes: 1e7 }]);
  part('leases', all.map(({ computer, mac, address }) => ({ address, network: '10.0.0.0/16', mac, computer, server: 'imaging-1', until_ms: Date.now() + 3.6e6 })));
  part('check', { ready: false, findings: [{ kind: 'missing', text: 'something is missing', help: 'add it' }] });
  part('log', []);
  store.boots.hear({ server: 'imaging-1', machines: all });
  view.render(store, new Set(['pxe']));
  const spent = [];
  for (const stage of ['loader', 'script', 'kernel', 'client', 'loader', 'script', 'kernel']) {
    const begun = performance.now();
    store.boots.hear({ server: 'imaging-1', machines: all.slice(0, 100).map((_, number) => machine(number, stage)) });
    view.render(store, new Set(['pxe']));
    // Layout is part of it.
    void document.documentElement.offsetHeight;
    spent.push(performance.now() - begun);
    await new Promise((resolve) => requestAnimationFrame(resolve));
  }
  const refusal = 'the site does not know this machine (52:54:00:00:00:99), and unknown ones are not answered';
  const refused = machine(0x99, 'dhcp', { computer: null, address: null, deployment: null, refused: true, text: refusal, since_ms: Date.now(), ms: Date.now() + 1 });
  store.boots.hear({ server: 'imaging-1', machines: [refused] });
  view.render(store, new Set(['pxe']));
  return { median: spent.sort((a, b) => a - b)[3] };
})().then(done, (error) => done(String(error)));
