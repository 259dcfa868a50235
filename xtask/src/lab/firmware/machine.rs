//! A machine without a disk, or with one, in QEMU.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::interrupt;
use crate::lab::net::Network;
use crate::lab::tools;
use crate::process::Running;

/// Where Debian has UEFI for virtual machines.
const OVMF: &str = "/usr/share/OVMF";
/// Between two looks at a console.
const LOOK: Duration = Duration::from_millis(20);

/// How a machine starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Firmware {
    /// A BIOS whose network card has a PXE ROM (iPXE).
    Bios,
    /// UEFI's own PXE.
    Uefi,
    /// UEFI's HTTP boot.
    Http,
    /// The PXE of UEFI of 32 bits, as tablets have it.
    Uefi32,
}

/// A machine to be.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) firmware: Firmware,
    /// Tells the machines of a network apart; the last byte of its card's address.
    pub(crate) number: u8,
    /// A disk from which it can start, too.
    pub(crate) disk: Option<PathBuf>,
    pub(crate) memory_mib: u32,
    /// Its processor in QEMU's words, if not the usual one.
    pub(crate) processor: Option<&'static str>,
    /// It is at the switch behind the router.
    pub(crate) behind_router: bool,
    /// What it starts without asking the network.
    pub(crate) kernel: Option<Kernel>,
}

/// A Linux kernel that is started as it is.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    pub(crate) kernel: PathBuf,
    pub(crate) initramfs: PathBuf,
    pub(crate) arguments: String,
}

/// A machine that runs.
pub(crate) struct Machine {
    process: Running,
    log: PathBuf,
    serial: UnixStream,
}

impl Spec {
    pub(crate) fn new(firmware: Firmware, number: u8) -> Self {
        Self { firmware, number, disk: None, memory_mib: 512, processor: None, behind_router: false, kernel: None }
    }

    /// The card's address.
    pub(crate) fn mac(&self) -> String {
        format!("52:54:00:4c:00:{:02x}", self.number)
    }

    /// The board's UUID.
    pub(crate) fn uuid(&self) -> String {
        format!("4c616200-0000-4000-8000-0000000000{:02x}", self.number)
    }
}

/// Files of a UEFI, and QEMU's machine for it.
struct UefiFiles {
    code: &'static str,
    variables: &'static str,
    machine: &'static str,
}

impl Firmware {
    fn files(self) -> Option<UefiFiles> {
        match self {
            Self::Bios => None,
            Self::Uefi | Self::Http => {
                Some(UefiFiles { code: "OVMF_CODE_4M.fd", variables: "OVMF_VARS_4M.fd", machine: "q35" })
            }
            // Debian builds it only so that it wants system management mode.
            Self::Uefi32 => Some(UefiFiles {
                code: "OVMF32_CODE_4M.secboot.fd",
                variables: "OVMF32_VARS_4M.fd",
                machine: "q35,smm=on",
            }),
        }
    }
}

impl Machine {
    /// Switches it on at the network's switch; what it writes goes to `folder`.
    pub(crate) fn start(net: &Network, spec: &Spec, label: &str, folder: &Path) -> Result<Self> {
        let qemu = tools::find("qemu-system-x86_64").context("qemu-system-x86_64 is not installed")?;
        let tap = format!("m{}", spec.number);
        net.add_tap(&tap, spec.behind_router)?;
        let (log, socket) = (folder.join(format!("{label}.console")), folder.join(format!("{label}.serial")));
        let mut command = net.in_switch(&qemu);
        // KVM that is itself emulated starts OVMF only on some hosts; emulation does everywhere.
        command.args(["-accel", "tcg", "-nodefaults", "-nographic", "-no-reboot", "-monitor", "none", "-uuid"]);
        command.arg(spec.uuid()).args(["-m", &spec.memory_mib.to_string()]);
        let (serial, log_path) = (socket.display(), log.display());
        command.args(["-serial", "chardev:c", "-chardev"]);
        command.arg(format!("socket,id=c,path={serial},server=on,wait=off,logfile={log_path}"));
        command.arg("-netdev").arg(format!("tap,id=n,ifname={tap},script=no,downscript=no"));
        let mac = spec.mac();
        // The card's ROM would put iPXE in the place of UEFI's own PXE.
        let rom = if spec.firmware == Firmware::Bios { "" } else { ",romfile=" };
        command.arg("-device").arg(format!("virtio-net-pci,netdev=n,mac={mac},bootindex=1{rom}"));
        if let Some(files) = spec.firmware.files() {
            let variables = folder.join(format!("{label}.vars"));
            std::fs::copy(Path::new(OVMF).join(files.variables), &variables).context("ovmf is not installed")?;
            command.args(["-machine", files.machine, "-drive"]);
            command.arg(format!("if=pflash,format=raw,readonly=on,file={OVMF}/{}", files.code));
            command.arg("-drive").arg(format!("if=pflash,format=raw,file={}", variables.display()));
        }
        if spec.firmware == Firmware::Http {
            for name in ["IPv4PXESupport", "IPv6PXESupport"] {
                command.arg("-fw_cfg").arg(format!("name=opt/org.tianocore/{name},string=n"));
            }
        }
        if let Some(processor) = spec.processor {
            command.args(["-cpu", processor]);
        }
        if let Some(start) = &spec.kernel {
            command.arg("-kernel").arg(&start.kernel).arg("-initrd").arg(&start.initramfs);
            command.args(["-append", &start.arguments]);
        }
        if let Some(disk) = &spec.disk {
            command.arg("-drive").arg(format!("if=none,id=d,format=raw,file={}", disk.display()));
            command.args(["-device", "virtio-blk-pci,drive=d,bootindex=2"]);
        }
        let mut process = Running::start(label, &mut command, folder)?;
        let begun = Instant::now();
        let serial = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break stream,
                Err(_) if process.poll()?.is_some() => return Err(process.complaint()),
                Err(error) if begun.elapsed() > Duration::from_secs(10) => {
                    return Err(error).context("QEMU's serial console cannot be reached");
                }
                Err(_) => interrupt::sleep(LOOK)?,
            }
        };
        serial.set_nonblocking(true)?;
        Ok(Self { process, log, serial })
    }

    /// What it has printed, without what moves the cursor.
    pub(crate) fn console(&mut self) -> String {
        // Who does not read holds it up; the text is in the log.
        let mut drain = [0; 4096];
        while matches!(self.serial.read(&mut drain), Ok(count) if count > 0) {}
        strip(&std::fs::read(&self.log).unwrap_or_default())
    }

    /// Waits until it has printed `text`: seconds since it was switched on.
    pub(crate) fn wait_for(&mut self, text: &str, limit: Duration) -> Result<f64> {
        let started = self.process.started();
        loop {
            let console = self.console();
            if console.contains(text) {
                return Ok(started.elapsed().as_secs_f64());
            }
            if started.elapsed() > limit || self.process.poll()?.is_some() {
                // It may have said so with its last breath.
                if self.console().contains(text) {
                    return Ok(started.elapsed().as_secs_f64());
                }
                let lines: Vec<_> = console.lines().filter(|line| !line.trim().is_empty()).collect();
                let last = lines[lines.len().saturating_sub(12)..].join("\n    ");
                bail!(
                    "{} did not print {text:?} within {} s; its console ends with\n    {last}",
                    self.process.label(),
                    limit.as_secs()
                );
            }
            interrupt::sleep(LOOK)?;
        }
    }

    /// Waits until it prints `text` once more than it has.
    pub(crate) fn wait_for_next(&mut self, text: &str, limit: Duration) -> Result<()> {
        let before = self.console().matches(text).count();
        let end = Instant::now() + limit;
        while self.console().matches(text).count() <= before {
            if Instant::now() > end {
                bail!("{} did not print {text:?} again within {} s", self.process.label(), limit.as_secs());
            }
            interrupt::sleep(LOOK)?;
        }
        Ok(())
    }

    /// Types on its serial console, no faster than a BIOS takes it.
    pub(crate) fn type_in(&mut self, text: &str) -> Result<()> {
        for byte in text.bytes() {
            self.serial.write_all(&[byte]).context("cannot type on the machine's console")?;
            interrupt::sleep(Duration::from_millis(60))?;
        }
        Ok(())
    }

    /// Pulls its plug.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.process.signal(Signal::SIGKILL)?;
        self.process.kill()
    }
}

/// Text without escape sequences and carriage returns.
fn strip(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\x1b' => {
                // "ESC [ numbers letter", or ESC and one more.
                if characters.next_if_eq(&'[').is_none() {
                    characters.next();
                    continue;
                }
                let _ = characters.by_ref().find(|character| ('@'..='~').contains(character));
            }
            '\r' => {}
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_is_read_without_what_moves_the_cursor() {
        assert_eq!(strip(b"\x1b[2J\x1b[0;37mBooting\r\nfrom \x1bcdisk\x1b[01;02H."), "Booting\nfrom disk.");
    }
}
