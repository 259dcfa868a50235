//! Bare machines with real firmware boot from our service point.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{Need, Scenario};
use crate::files;
use crate::lab::Lab;
use crate::lab::findings::Findings;
use crate::lab::firmware::{BOOT_LIMIT, Bench, Firmware, MARKER, Mode, OURS, Spec};
use crate::lab::tools::STATIC_BUSYBOX;

const NEEDS: &[Need] = &[
    Need::Program("qemu-system-x86_64"),
    Need::Program("dnsmasq"),
    Need::Program(STATIC_BUSYBOX),
    Need::Program("cpio"),
    Need::Program("/usr/share/OVMF/OVMF_CODE_4M.fd"),
    Need::Program("/usr/lib/ipxe/snponly.efi"),
    Need::Program("/usr/lib/ipxe/qemu/pxe-virtio.rom"),
    Need::Architecture("x86_64"),
    Need::Space(2 << 30),
];

/// Boots of each kind, of which the fastest counts: emulated firmware on a shared machine takes up to a third longer
/// now and then, and never less than it must. So there are more of them while ours has not shown what it can.
const ROUNDS: usize = 2;
const MOST_ROUNDS: usize = 5;
/// By how much ours may take longer than dnsmasq.
const SHARE: f64 = 0.1;
/// Share of packets lost each way.
const LOSS: f64 = 0.01;
/// What the disk's boot sector prints.
const DISK: &str = "LAB-DISK";
/// The next entry of OVMF's boot order, behind what these machines boot by.
const NEXT_ENTRY: &str = "Start PXE over IPv6";
const PASSWORD: &str = "open-sesame";

macro_rules! boots {
    ($($name:literal $loss:literal $firmware:ident $mode:ident,)*) => {
        [$(
            Scenario {
                name: $name,
                claim: concat!("a machine boots to a Linux kernel (", $name, ") within 1.1 times what it takes by dnsmasq"),
                needs: NEEDS,
                run: |lab, findings| beside(lab, findings, Firmware::$firmware, Mode::$mode),
            },
            Scenario {
                name: $loss,
                claim: concat!("with 1 % of packets lost each way it still does (", $name, ")"),
                needs: NEEDS,
                run: |lab, findings| with_loss(lab, findings, Firmware::$firmware, Mode::$mode),
            },
        )*]
    };
}

/// The table: firmware × mode.
pub(super) const TABLE: [Scenario; 12] = boots! {
    "boot-bios-full" "boot-loss-bios-full" Bios Full,
    "boot-bios-proxy" "boot-loss-bios-proxy" Bios Proxy,
    "boot-uefi-full" "boot-loss-uefi-full" Uefi Full,
    "boot-uefi-proxy" "boot-loss-uefi-proxy" Uefi Proxy,
    "boot-http-full" "boot-loss-http-full" Http Full,
    "boot-http-proxy" "boot-loss-http-proxy" Http Proxy,
};

pub(super) const SCENARIOS: [Scenario; 9] = [
    Scenario {
        name: "boot-unknown",
        claim: "a machine that the site does not know is refused, and says so in the log; answered, it boots",
        needs: NEEDS,
        run: unknown,
    },
    Scenario {
        name: "boot-available",
        claim: "an available deployment boots by a key; without one a BIOS starts from its disk, and UEFI goes on to its next entry",
        needs: NEEDS,
        run: available,
    },
    Scenario {
        name: "boot-once",
        claim: "a deployment that is for once boots once, then the disk; UEFI goes on to its next entry",
        needs: NEEDS,
        run: once,
    },
    Scenario {
        name: "boot-password",
        claim: "the password is asked at the machine: wrong ones are counted, after three it starts from its disk, the right one boots",
        needs: NEEDS,
        run: password,
    },
    Scenario {
        name: "boot-missing",
        claim: "what a boot image lacks stands on the machine's screen and in the log with what to add, and check finds it before",
        needs: NEEDS,
        run: missing,
    },
    Scenario {
        name: "boot-two-servers",
        claim: "with a delay another PXE server goes first; where it is gone, ours boots the machine",
        needs: NEEDS,
        run: two_servers,
    },
    Scenario {
        name: "boot-off",
        claim: "where another DHCP server names the boot files as the docs say, machines boot from ours by files alone",
        needs: NEEDS,
        run: off,
    },
    Scenario {
        name: "boot-interface",
        claim: "machines are answered at the interface that is listed, with this server's address there, and at no other",
        needs: NEEDS,
        run: interface,
    },
    Scenario {
        name: "boot-client",
        claim: "a bare machine boots into the client, which says who it is by its token and receives its image by multicast",
        needs: NEEDS,
        run: client,
    },
];

/// Ours and dnsmasq's turn about; there is no HTTP boot by dnsmasq beside another DHCP server.
fn beside(lab: &Lab, findings: &mut Findings, firmware: Firmware, mode: Mode) -> Result<()> {
    let (mut ours, mut other) = (f64::INFINITY, f64::INFINITY);
    for round in 0..MOST_ROUNDS {
        if round >= ROUNDS && ours <= other * (1.0 + SHARE) {
            break;
        }
        let mut bench = Bench::open(lab, mode)?;
        bench.start_ours_with_marker(mode, "")?;
        ours = ours.min(bench.boot(&Spec::new(firmware, 1), BOOT_LIMIT)?);
        drop(bench);
        if (firmware, mode) != (Firmware::Http, Mode::Proxy) {
            let mut bench = Bench::open(lab, mode)?;
            bench.start_dnsmasq(mode, firmware)?;
            other = other.min(bench.boot(&Spec::new(firmware, 1), BOOT_LIMIT)?);
        }
    }
    if other.is_finite() {
        findings.figure("dnsmasq", other, "s");
        findings.beside("ours", ours, other, SHARE);
    } else {
        findings.figure("ours", ours, "s");
    }
    Ok(())
}

fn with_loss(lab: &Lab, findings: &mut Findings, firmware: Firmware, mode: Mode) -> Result<()> {
    let mut bench = Bench::open(lab, mode)?;
    bench.start_ours_with_marker(mode, "")?;
    bench.net().lose_at_switch(LOSS)?;
    findings.figure("ours", bench.boot(&Spec::new(firmware, 1), BOOT_LIMIT)?, "s");
    Ok(())
}

fn unknown(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let mut bench = Bench::open(lab, Mode::Full)?;
    bench.start_ours_with_marker(Mode::Full, "")?;
    bench.ctl(&["policy", "--unknown", "off"])?;
    let spec = with_disk(&bench, 1)?;
    let mut machine = bench.switch_on(&spec)?;
    findings.figure("refused", machine.wait_for(DISK, BOOT_LIMIT)?, "s");
    machine.stop()?;
    bench.wait_for_log("does not know this machine")?;
    bench.ctl(&["computers", "add", "pc-1", "--mac", &spec.mac()])?;
    findings.figure("as pc-1", bench.boot(&spec, BOOT_LIMIT)?, "s");
    // Another card on a board that is known.
    let board = Spec::new(Firmware::Bios, 2);
    bench.ctl(&["computers", "add", "pc-2", "--uuid", &board.uuid()])?;
    findings.figure("by its board", bench.boot(&board, BOOT_LIMIT)?, "s");
    bench.ctl(&["policy", "--unknown", "on"])?;
    findings.figure("unknown", bench.boot(&Spec::new(Firmware::Bios, 3), BOOT_LIMIT)?, "s");
    bench.ctl(&["policy", "--respond", "off"])?;
    let spec = with_disk(&bench, 4)?;
    let mut machine = bench.switch_on(&spec)?;
    findings.figure("nobody answered", machine.wait_for(DISK, BOOT_LIMIT)?, "s");
    machine.stop()
}

fn available(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let mut bench = Bench::open(lab, Mode::Full)?;
    bench.start_ours(Mode::Full, "pxe", "")?;
    bench.add_marker_image("console=ttyS0 quiet")?;
    bench.ctl(&["policy", "--unknown", "on"])?;
    bench.ctl(&["deployments", "add", "rescue", "--all", "--boot-image", "marker", "--available", "4s"])?;
    let spec = with_disk(&bench, 1)?;
    let mut machine = bench.switch_on(&spec)?;
    findings.figure("no key: the disk", machine.wait_for(DISK, BOOT_LIMIT)?, "s");
    machine.stop()?;
    let mut machine = bench.switch_on(&spec)?;
    machine.wait_for("Press a key to boot it", BOOT_LIMIT)?;
    machine.type_in(" ")?;
    findings.figure("a key: the kernel", machine.wait_for(MARKER, BOOT_LIMIT)?, "s");
    machine.stop()?;
    let mut machine = bench.switch_on(&Spec::new(Firmware::Uefi, 2))?;
    machine.wait_for("Press a key to boot it", BOOT_LIMIT)?;
    findings.figure("no key: UEFI's next entry", machine.wait_for(NEXT_ENTRY, BOOT_LIMIT)?, "s");
    machine.stop()
}

fn once(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let mut bench = Bench::open(lab, Mode::Full)?;
    bench.start_ours(Mode::Full, "pxe", "")?;
    bench.add_marker_image("console=ttyS0 quiet")?;
    bench.ctl(&["policy", "--unknown", "on"])?;
    bench.ctl(&["deployments", "add", "install", "--all", "--boot-image", "marker", "--once"])?;
    let bios = with_disk(&bench, 1)?;
    findings.figure("bios, first", bench.boot(&bios, BOOT_LIMIT)?, "s");
    let mut machine = bench.switch_on(&bios)?;
    findings.figure("second: the disk", machine.wait_for(DISK, BOOT_LIMIT)?, "s");
    machine.stop()?;
    bench.ctl(&["deployments", "again", "install"])?;
    findings.figure("again", bench.boot(&bios, BOOT_LIMIT)?, "s");
    let uefi = Spec::new(Firmware::Uefi, 2);
    findings.figure("uefi, first", bench.boot(&uefi, BOOT_LIMIT)?, "s");
    let mut machine = bench.switch_on(&uefi)?;
    findings.figure("second: the next entry", machine.wait_for(NEXT_ENTRY, BOOT_LIMIT)?, "s");
    machine.stop()
}

fn password(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let mut bench = Bench::open(lab, Mode::Full)?;
    bench.start_ours_with_marker(Mode::Full, "")?;
    let file = bench.folder().join("password");
    std::fs::write(&file, format!("{PASSWORD}\n"))?;
    files::make_private(&file)?;
    bench.ctl(&["password", "--file", &file.display().to_string()])?;
    let spec = with_disk(&bench, 1)?;
    let mut machine = bench.switch_on(&spec)?;
    machine.wait_for("Password", BOOT_LIMIT)?;
    // The name is filled in: on to the password.
    machine.type_in(&format!("\t{PASSWORD}\r"))?;
    findings.figure("right", machine.wait_for(MARKER, BOOT_LIMIT)?, "s");
    machine.stop()?;
    let mut machine = bench.switch_on(&spec)?;
    machine.wait_for("Password", BOOT_LIMIT)?;
    for left in ["2 tries are left", "1 try is left"] {
        machine.type_in("\tnot-this-one\r")?;
        machine.wait_for(left, BOOT_LIMIT)?;
        machine.wait_for_next("Password", BOOT_LIMIT)?;
    }
    machine.type_in("\tnot-this-one\r")?;
    machine.wait_for("no more tries", BOOT_LIMIT)?;
    findings.figure("three wrong: the disk", machine.wait_for(DISK, BOOT_LIMIT)?, "s");
    machine.stop()?;
    bench.wait_for_log("wrong passwords")?;
    let server = bench.server(OURS)?;
    let said = [server.stdout(), server.stderr()].concat();
    findings.check(!said.contains(PASSWORD) && !said.contains("not-this-one"), || {
        "a password stands in the server's log".to_owned()
    });
    Ok(())
}

fn missing(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let mut bench = Bench::open(lab, Mode::Full)?;
    bench.start_ours(Mode::Full, "pxe", "")?;
    bench.ctl(&["policy", "--unknown", "on"])?;
    bench.ctl(&["deployments", "add", "shell", "--all", "--boot-image", "marker"])?;
    let found = bench.check()?;
    findings.check(found.contains("boot image marker is not on this server"), || {
        format!("check does not say that the boot image is missing: {found}")
    });
    let mut machine = bench.switch_on(&Spec::new(Firmware::Bios, 1))?;
    findings.figure("said on the screen", machine.wait_for("wants boot image marker", BOOT_LIMIT)?, "s");
    machine.wait_for("images add marker", BOOT_LIMIT)?;
    machine.stop()?;
    bench.wait_for_log("wants boot image marker")?;
    // For one kind of firmware only.
    let (kernel, initramfs) = (bench.parts.kernel.display().to_string(), bench.parts.initramfs.display().to_string());
    bench.ctl(&[
        "images",
        "add",
        "marker",
        &kernel,
        &initramfs,
        "--platform",
        "uefi-x64",
        "--arguments",
        "console=ttyS0",
    ])?;
    let mut machine = bench.switch_on(&Spec::new(Firmware::Bios, 2))?;
    machine.wait_for("has nothing for bios", BOOT_LIMIT)?;
    machine.stop()?;
    let iso = bench.folder().join("install.iso");
    std::fs::write(&iso, vec![0; 1 << 20])?;
    let refused = bench.ctl(&["images", "add", "iso", &iso.display().to_string()]);
    findings.check(refused.is_err_and(|error| format!("{error:#}").contains("no part of a boot image")), || {
        "a file that is no boot image was taken".to_owned()
    });
    Ok(())
}

fn two_servers(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let mut bench = Bench::open(lab, Mode::Proxy)?;
    bench.start_ours_with_marker(Mode::Proxy, "delay = \"6s\"")?;
    bench.start_rival()?;
    let mut machine = bench.switch_on(&Spec::new(Firmware::Bios, 1))?;
    findings.figure("both", machine.wait_for(MARKER, BOOT_LIMIT)?, "s");
    let console = machine.console();
    findings.check(!console.contains("mcast.server="), || "ours did not wait for the other server".to_owned());
    machine.stop()?;
    bench.stop("rival")?;
    let mut machine = bench.switch_on(&Spec::new(Firmware::Uefi, 2))?;
    findings.figure("ours alone", machine.wait_for(MARKER, BOOT_LIMIT)?, "s");
    findings.check(machine.console().contains("mcast.server="), || "somebody else booted it".to_owned());
    machine.stop()
}

fn off(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let mut bench = Bench::open(lab, Mode::Off)?;
    bench.start_ours_with_marker(Mode::Off, "")?;
    findings.figure("bios", bench.boot(&Spec::new(Firmware::Bios, 1), BOOT_LIMIT)?, "s");
    findings.figure("uefi", bench.boot(&Spec::new(Firmware::Uefi, 2), BOOT_LIMIT)?, "s");
    findings.figure("http", bench.boot(&Spec::new(Firmware::Http, 3), BOOT_LIMIT)?, "s");
    Ok(())
}

fn interface(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let mut bench = Bench::open(lab, Mode::Full)?;
    bench.net().add_second_interface("10.78.0.1")?;
    let network = "[[pxe.network]]\nnetwork = \"10.78.0.0/16\"\npool = \"10.78.1.10-10.78.1.50\"";
    bench.start_ours_with_marker(Mode::Full, &format!("interfaces = [\"eth1\"]\n{network}"))?;
    let mut machine = bench.switch_on(&Spec::new(Firmware::Uefi, 1))?;
    findings.figure("boots", machine.wait_for(MARKER, BOOT_LIMIT)?, "s");
    let console = machine.console();
    findings.check(console.contains("10.78.0.1") && !console.contains("10.77.0.1"), || {
        format!("the machine was told another address than that of its network: {console}")
    });
    machine.stop()
}

fn client(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let mut bench = Bench::open(lab, Mode::Full)?;
    bench.make_client_image()?;
    std::fs::create_dir_all(bench.folder().join("images"))?;
    files::write_random(&bench.folder().join("images/lab.img"), 24 << 20, 7)?;
    bench.start_ours(Mode::Full, "serve", "")?;
    let made = |name: &str| bench.folder().join("client").join(name).display().to_string();
    let (kernel, initramfs) = (made("vmlinuz"), made("initramfs.img"));
    let arguments = "console=ttyS0 quiet mcast.output=/tmp/disk mcast.then=poweroff";
    bench.ctl(&["images", "add", "client", &kernel, &initramfs, "--arguments", arguments])?;
    let spec = Spec { memory_mib: 768, ..Spec::new(Firmware::Bios, 1) };
    bench.ctl(&["computers", "add", "pc-1", "--mac", &spec.mac()])?;
    bench.ctl(&[
        "deployments",
        "add",
        "install",
        "--computer",
        "pc-1",
        "--boot-image",
        "client",
        "--image",
        "lab.img",
    ])?;
    let mut machine = bench.switch_on(&spec)?;
    findings.figure(
        "said who it is",
        machine.wait_for("has deployment \"install\" for this machine", BOOT_LIMIT)?,
        "s",
    );
    findings.figure("has its image", machine.wait_for("verified and stored in /tmp/disk", BOOT_LIMIT)?, "s");
    let console = machine.console();
    findings.check(!console.contains("by unicast"), || format!("the image did not come by multicast: {console}"));
    machine.stop()?;
    bench.wait_for_log("client")?;
    // Nobody else gets anything by its token.
    let line = console.lines().find_map(|line| line.split("mcast.token=").nth(1)).map(str::to_owned);
    findings.check(line.is_none(), || "the token is printed on the screen".to_owned());
    Ok(())
}

/// A BIOS machine whose disk prints [`DISK`] when it starts.
fn with_disk(bench: &Bench<'_>, number: u8) -> Result<Spec> {
    // Prints the text behind it on the first serial port, letter by letter, and stops.
    const CODE: [u8; 34] = [
        0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0xbe, 0x22, 0x7c, 0xac, 0x84, 0xc0, 0x74, 0x12, 0x88, 0xc4, 0xba, 0xfd, 0x03,
        0xec, 0xa8, 0x20, 0x74, 0xfb, 0x88, 0xe0, 0xba, 0xf8, 0x03, 0xee, 0xeb, 0xe9, 0xf4, 0xeb, 0xfd,
    ];
    let mut sector = CODE.to_vec();
    sector.extend_from_slice(format!("\r\n{DISK}\r\n\0").as_bytes());
    sector.resize(510, 0);
    sector.extend([0x55, 0xaa]);
    sector.resize(1 << 20, 0);
    let path: PathBuf = bench.folder().join(format!("disk-{number}.img"));
    std::fs::write(&path, sector).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Spec { disk: Some(path), ..Spec::new(Firmware::Bios, number) })
}
