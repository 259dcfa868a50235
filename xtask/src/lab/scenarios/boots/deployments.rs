//! What a deployment says, down to the client that has its image.

use anyhow::{Context, Result};

use super::{DISK, NEEDS, NEXT_ENTRY, Scenario, with_disk};
use crate::files;
use crate::lab::Lab;
use crate::lab::findings::Findings;
use crate::lab::firmware::{BOOT_LIMIT, Bench, Firmware, Kernel, MARKER, Mode, Spec};
use crate::lab::net::SENDER;
use crate::lab::point::PXE_PORT;
use crate::lab::tools::{self, run};

pub(in crate::lab::scenarios) const SCENARIOS: [Scenario; 4] = [
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
        name: "boot-until",
        claim: "a deployment boots until its moment has come, and then no more",
        needs: NEEDS,
        run: until,
    },
    Scenario {
        name: "boot-client",
        claim: "a bare machine boots into the client, which says who it is by its token and receives its image by multicast; another machine's token is refused",
        needs: NEEDS,
        run: client,
    },
];

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

fn until(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let mut bench = Bench::open(lab, Mode::Full)?;
    bench.start_ours(Mode::Full, "pxe", "")?;
    bench.add_marker_image("console=ttyS0 quiet")?;
    bench.ctl(&["policy", "--unknown", "on"])?;
    let spec = with_disk(&bench, 1)?;
    let deploy = |bench: &Bench<'_>, moment: &str, how: &[&str]| {
        let moment = run("date", ["--date", moment, "+%F %T"])?;
        let words = ["deployments", "add", "week", "--all", "--boot-image", "marker", "--until", moment.trim()];
        bench.ctl(&[words.as_slice(), how].concat())
    };
    deploy(&bench, "+10 minutes", &[])?;
    findings.figure("before", bench.boot(&spec, BOOT_LIMIT)?, "s");
    // The moment comes while the machine starts; it is its firmware's question that counts.
    deploy(&bench, "+1 second", &["--replace"])?;
    let mut machine = bench.switch_on(&spec)?;
    findings.figure("after: the disk", machine.wait_for(DISK, BOOT_LIMIT)?, "s");
    machine.stop()?;
    bench.wait_for_log("is over")
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
    bench.wait_for_log("runs the client, as pc-1")?;
    let printed = console.contains("mcast.token=");
    findings.check(!printed, || "the token is printed on the screen".to_owned());
    // Whoever copies the token of one machine to another gets nothing by it.
    let other = Spec::new(Firmware::Bios, 2);
    let arguments = format!("{arguments} mcast.failed=poweroff {}", copied_arguments(&bench, &spec)?);
    let arguments = arguments.replace(&spec.mac().replace(':', "-"), &other.mac().replace(':', "-"));
    let kernel = Kernel { kernel: kernel.into(), initramfs: initramfs.into(), arguments };
    let mut machine = bench.switch_on(&Spec { memory_mib: 768, kernel: Some(kernel), ..other })?;
    let refused = format!("it was given to the machine {}", spec.mac());
    findings.figure("a copied token is refused", machine.wait_for(&refused, BOOT_LIMIT)?, "s");
    machine.stop()
}

/// What our server hands a machine for its kernel's command line.
fn copied_arguments(bench: &Bench<'_>, spec: &Spec) -> Result<String> {
    let (mac, uuid) = (spec.mac().replace(':', "-"), spec.uuid());
    let point = format!("http://{SENDER}:{PXE_PORT}/pxe/v1/scripts/machine");
    let url = format!("{point}?mac={mac}&uuid={uuid}&firmware=pcbios&build=i386&wide=1");
    let curl = tools::find("curl").context("curl is not installed")?;
    let script = tools::finish(bench.net().in_receiver(0, &curl).args(["--silent", "--fail", &url]))?;
    let line = script.lines().find(|line| line.starts_with("kernel ")).context("the script loads no kernel")?;
    let words: Vec<_> = line.split(' ').filter(|word| word.starts_with("mcast.")).collect();
    Ok(format!("{} BOOTIF=01-{mac}", words.join(" ")))
}
