//! A staging bench: the network, a router, DHCP and PXE servers, and machines that are switched on.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::dnsmasq::{self, HTTP_PORT};
use super::parts::{LOADERS, Parts};
use super::{Firmware, MARKER, Machine, Spec};
use crate::lab::Lab;
use crate::lab::dnsmasq::program;
use crate::lab::net::{Network, SENDER};
use crate::lab::{ready, tools};
use crate::process::Running;

/// Where something runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Host {
    /// The PXE server that is looked at.
    Server,
    /// A receiver: the router and the other DHCP server, or the other PXE server.
    Receiver(usize),
}

impl Host {
    fn run(self, net: &Network, program: &Path) -> Command {
        match self {
            Self::Server => net.in_sender(program),
            Self::Receiver(i) => net.in_receiver(i, program),
        }
    }
}

const ROUTER: Host = Host::Receiver(0);
const RIVAL: Host = Host::Receiver(1);
/// A server is ready by then.
const SOON: Duration = Duration::from_secs(15);
/// The slowest boot of the lab takes a fifth of this.
pub(crate) const BOOT_LIMIT: Duration = Duration::from_secs(90);

/// Who gives addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The PXE server.
    Full,
    /// Another DHCP server beside it.
    Proxy,
    /// Another DHCP server, which names our boot files itself.
    Off,
}

/// The bench; all of it goes when it is dropped.
pub(crate) struct Bench<'a> {
    lab: &'a Lab,
    folder: PathBuf,
    pub(crate) parts: Parts,
    // Before the network, so that what runs in it ends first.
    servers: Vec<(String, Running)>,
    net: Network,
    starts: u32,
}

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Proxy => "proxy",
            Self::Off => "off",
        }
    }

    /// UDP ports that a PXE server has then.
    pub(crate) fn ports(self) -> &'static [u16] {
        match self {
            Self::Full => &[67, 69],
            Self::Proxy => &[67, 69, 4011],
            Self::Off => &[69],
        }
    }
}

impl<'a> Bench<'a> {
    /// A network with a router that advertises IPv6, and with a DHCP server if the PXE server is to be none.
    pub(crate) fn open(lab: &'a Lab, mode: Mode) -> Result<Self> {
        let parts = Parts::ready()?;
        let (folder, number) = lab.new_folder()?;
        let net = Network::new(number, 2)?;
        net.address_receiver(0, "fd77::1/64")?;
        let mut bench = Self { lab, folder, parts, servers: Vec::new(), net, starts: 0 };
        bench.start_dnsmasq_as("router", ROUTER, dnsmasq::router)?;
        if mode != Mode::Full {
            let other = if mode == Mode::Off { dnsmasq::pointing } else { dnsmasq::plain };
            bench.start_dnsmasq_as("dhcp", ROUTER, other)?;
            bench.wait_for_ports_at(ROUTER, "dhcp", &[67])?;
        }
        Ok(bench)
    }

    fn start_dnsmasq_as(&mut self, name: &str, host: Host, add: impl FnOnce(&mut Command, &Path)) -> Result<()> {
        let mut command = host.run(&self.net, &program()?);
        add(&mut command, &self.folder);
        self.start(name, &mut command)
    }

    pub(crate) fn net(&self) -> &Network {
        &self.net
    }

    pub(crate) fn lab(&self) -> &'a Lab {
        self.lab
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Has dnsmasq boot machines.
    pub(crate) fn start_dnsmasq(&mut self, mode: Mode, firmware: Firmware) -> Result<()> {
        let http = format!("http://{SENDER}:{HTTP_PORT}/");
        let files = self.put_files("tftp", if firmware == Firmware::Http { &http } else { "" })?;
        if firmware == Firmware::Http {
            let busybox = tools::find("busybox").context("busybox is not installed")?;
            let mut command = self.net.in_sender(&busybox);
            command.args(["httpd", "-f", "-p", &HTTP_PORT.to_string(), "-h"]).arg(&files);
            self.start("http", &mut command)?;
        }
        self.start_dnsmasq_as("server", Host::Server, |command, folder| {
            dnsmasq::server(command, folder, &files, mode);
        })?;
        self.wait_for_ports("server", mode.ports())
    }

    /// Has dnsmasq boot machines from another host, beside the DHCP server and ours.
    pub(crate) fn start_rival(&mut self) -> Result<()> {
        let files = self.put_files("tftp-rival", "")?;
        let proxy = Mode::Proxy;
        self.start_dnsmasq_as("rival", RIVAL, |command, folder| dnsmasq::server(command, folder, &files, proxy))?;
        self.wait_for_ports_at(RIVAL, "rival", &[67, 69, 4011])
    }

    /// Has the router pass DHCP on between ours and another network, 10.79.0.0/16, and mark what it passes on.
    pub(crate) fn start_relay_agent(&mut self) -> Result<()> {
        let Host::Receiver(router) = ROUTER else { bail!("the router is a receiver") };
        self.net.route_through(router, "10.79.0.0/16", "10.79.0.1")?;
        let program = tools::unpacked("isc-dhcp-relay", "usr/sbin/dhcrelay", &self.folder)?;
        let mut command = ROUTER.run(&self.net, &program);
        command.args(["-4", "-d", "-a", "-iu", "eth0", "-id", "eth1", SENDER]);
        self.start("relay", &mut command)?;
        self.wait_for_ports_at(ROUTER, "relay", &[67])
    }

    /// The files that dnsmasq serves; its script loads them from `from`, or from where it came itself.
    fn put_files(&self, folder: &str, from: &str) -> Result<PathBuf> {
        let files = self.folder.join(folder);
        std::fs::create_dir_all(&files)?;
        for loader in ["undionly.kpxe", "snponly.efi"] {
            std::fs::copy(Path::new(LOADERS).join(loader), files.join(loader)).context("ipxe is not installed")?;
        }
        std::fs::copy(&self.parts.kernel, files.join("vmlinuz"))?;
        std::fs::copy(&self.parts.initramfs, files.join("marker.img"))?;
        std::fs::write(files.join("boot.ipxe"), dnsmasq::script(from))?;
        Ok(files)
    }

    /// Starts a server under a name by which it can be stopped.
    pub(crate) fn start(&mut self, name: &str, command: &mut Command) -> Result<()> {
        let label = self.label(name);
        let server = Running::start(&label, command, &self.folder)?;
        self.servers.push((name.to_owned(), server));
        Ok(())
    }

    /// A server that was started.
    pub(crate) fn server(&mut self, name: &str) -> Result<&mut Running> {
        let found = self.servers.iter_mut().rev().find(|(known, _)| known == name);
        found.map(|(_, server)| server).with_context(|| format!("{name} was not started"))
    }

    /// Ends a server.
    pub(crate) fn stop(&mut self, name: &str) -> Result<()> {
        for (_, server) in self.servers.extract_if(.., |(known, _)| known == name) {
            let mut server = server;
            server.kill()?;
        }
        Ok(())
    }

    /// Switches a machine on.
    pub(crate) fn switch_on(&mut self, spec: &Spec) -> Result<Machine> {
        let label = self.label(&format!("machine-{}", spec.number));
        Machine::start(&self.net, spec, &label, &self.folder)
    }

    /// Boots a machine to the marker: seconds since it was switched on.
    pub(crate) fn boot(&mut self, spec: &Spec, limit: Duration) -> Result<f64> {
        let mut machine = self.switch_on(spec)?;
        let seconds = machine.wait_for(MARKER, limit)?;
        machine.stop()?;
        Ok(seconds)
    }

    /// Waits until the PXE server has bound its UDP ports.
    pub(crate) fn wait_for_ports(&mut self, name: &str, ports: &[u16]) -> Result<()> {
        self.wait_for_ports_at(Host::Server, name, ports)
    }

    fn wait_for_ports_at(&mut self, host: Host, name: &str, ports: &[u16]) -> Result<()> {
        let found = self.servers.iter_mut().rev().find(|(known, _)| known == name);
        let (_, server) = found.with_context(|| format!("{name} was not started"))?;
        ready::wait_for_ports(|program| host.run(&self.net, program), server, ports, SOON)
    }

    fn label(&mut self, role: &str) -> String {
        self.starts += 1;
        format!("{role}.{}", self.starts)
    }
}

impl Drop for Bench<'_> {
    fn drop(&mut self) {
        self.servers.clear();
        if !self.lab.keep {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}
