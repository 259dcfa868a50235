//! What a machine can boot, and what it is told of what it cannot.

use std::path::Path;

use anyhow::{Context, Result};

use super::{DISK, NEEDS, Need, Scenario, with_disk};
use crate::lab::Lab;
use crate::lab::findings::Findings;
use crate::lab::firmware::{BOOT_LIMIT, Bench, Firmware, Mode, Spec};
use crate::lab::tools::{self, EFI_STUB, UEFI_32, run};

/// No package of Debian brings it: where it is not, what needs it is skipped.
const WIMBOOT: &str = "/usr/lib/ipxe/wimboot";

pub(in crate::lab::scenarios) const SCENARIOS: [Scenario; 4] = [
    Scenario {
        name: "boot-missing",
        claim: "what a boot image lacks stands on the machine's screen and in the log with what to add, and check finds it before",
        needs: NEEDS,
        run: missing,
    },
    Scenario {
        name: "boot-programs",
        claim: "an EFI program and an iPXE script boot, each on the firmware that runs it",
        needs: &[Need::Program(EFI_STUB), Need::Program("objcopy"), Need::All(NEEDS)],
        run: programs,
    },
    Scenario {
        name: "boot-wim",
        claim: "a WIM boots by wimboot: the boot manager in it is started, with its parts beside it",
        needs: &[
            Need::Program(WIMBOOT),
            Need::Program("wimlib-imagex"),
            Need::Program(EFI_STUB),
            Need::Program("objcopy"),
            Need::All(NEEDS),
        ],
        run: wim,
    },
    Scenario {
        name: "boot-32-bits",
        claim: "a processor and a firmware of 32 bits are told what they lack, with what to add, on the screen and in the log",
        needs: &[Need::Program(UEFI_32), Need::All(NEEDS)],
        run: narrow,
    },
];

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

fn programs(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let mut bench = Bench::open(lab, Mode::Full)?;
    bench.start_ours(Mode::Full, "pxe", "")?;
    bench.ctl(&["policy", "--unknown", "on"])?;
    // A kernel with its initramfs and its command line as one program, which systemd calls a unified kernel image.
    let unified = bench.folder().join("unified.efi");
    make_unified_kernel(&bench, &unified)?;
    bench.ctl(&["images", "add", "unified", &unified.display().to_string()])?;
    bench.ctl(&["deployments", "add", "all", "--all", "--boot-image", "unified"])?;
    findings.figure("EFI program", bench.boot(&Spec::new(Firmware::Uefi, 1), BOOT_LIMIT)?, "s");
    let mut machine = bench.switch_on(&Spec::new(Firmware::Bios, 2))?;
    machine.wait_for("has nothing for bios (it has uefi-x64)", BOOT_LIMIT)?;
    machine.stop()?;
    let script = bench.folder().join("menu.ipxe");
    std::fs::write(&script, "#!ipxe\necho LAB-SCRIPT of ${net0/mac}\nsleep 2\nsanboot --no-describe --drive 0x80\n")?;
    bench.ctl(&["images", "add", "script", &script.display().to_string()])?;
    bench.ctl(&["deployments", "add", "all", "--all", "--boot-image", "script", "--replace"])?;
    let spec = with_disk(&bench, 3)?;
    let mut machine = bench.switch_on(&spec)?;
    findings.figure("script", machine.wait_for(&format!("LAB-SCRIPT of {}", spec.mac()), BOOT_LIMIT)?, "s");
    machine.wait_for(DISK, BOOT_LIMIT)?;
    machine.stop()
}

/// Windows' own boot manager may not be passed on; wimboot starts whatever stands in its place.
fn wim(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let mut bench = Bench::open(lab, Mode::Full)?;
    bench.start_ours(Mode::Full, "pxe", "")?;
    bench.ctl(&["policy", "--unknown", "on"])?;
    let path = |name: &str| bench.folder().join(name).display().to_string();
    let boot = bench.folder().join("tree/Windows/Boot/EFI");
    std::fs::create_dir_all(&boot)?;
    make_unified_kernel(&bench, &boot.join("bootmgfw.efi"))?;
    let (tree, wim, bcd, sdi) = (path("tree"), path("boot.wim"), path("BCD"), path("boot.sdi"));
    run("wimlib-imagex", ["capture", &tree, &wim, "lab", "--boot", "--compress=none"])?;
    std::fs::write(&bcd, [b"regf".as_slice(), &[0; 8188]].concat())?;
    std::fs::write(&sdi, [b"$SDI0001".as_slice(), &[0; 4088]].concat())?;
    bench.ctl(&["images", "add", "pe", &wim, &bcd, &sdi, WIMBOOT])?;
    bench.ctl(&["deployments", "add", "pe", "--all", "--boot-image", "pe"])?;
    findings.figure("its boot manager", bench.boot(&Spec::new(Firmware::Uefi, 1), BOOT_LIMIT)?, "s");
    Ok(())
}

/// Puts the parts behind the sections of systemd's stub, as its own tool does.
fn make_unified_kernel(bench: &Bench<'_>, path: &Path) -> Result<()> {
    let arguments = bench.folder().join("unified.arguments");
    std::fs::write(&arguments, "console=ttyS0 quiet\0")?;
    let parts = [(".cmdline", &arguments), (".linux", &bench.parts.kernel), (".initrd", &bench.parts.initramfs)];
    let mut at = end_of_sections(&std::fs::read(EFI_STUB).with_context(|| format!("cannot read {EFI_STUB}"))?)
        .with_context(|| format!("{EFI_STUB} is no program of UEFI"))?;
    let mut command = tools::tool("objcopy");
    for (name, file) in parts {
        at = at.next_multiple_of(1 << 16);
        command.arg("--add-section").arg(format!("{name}={}", file.display()));
        command.args(["--change-section-vma", &format!("{name}={at:#x}")]);
        at += file.metadata()?.len();
    }
    tools::finish(command.arg(EFI_STUB).arg(path)).map(drop)
}

/// The address behind the last section of a program of UEFI (PE32+).
fn end_of_sections(program: &[u8]) -> Option<u64> {
    let number = |at: usize, bytes: usize| {
        let bytes = program.get(at..at + bytes)?;
        Some(bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)))
    };
    let header = usize::try_from(number(0x3c, 4)?).ok()?;
    let (sections, optional) = (number(header + 6, 2)? as usize, number(header + 20, 2)? as usize);
    let base = number(header + 24 + 24, 8)?;
    let ends = (0..sections).map(|section| {
        let entry = header + 24 + optional + 40 * section;
        Some(number(entry + 12, 4)? + number(entry + 8, 4)?)
    });
    ends.collect::<Option<Vec<_>>>()?.into_iter().max().map(|end| base + end)
}

fn narrow(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let mut bench = Bench::open(lab, Mode::Full)?;
    bench.start_ours_with_marker(Mode::Full, "")?;
    let spec = Spec { processor: Some("pentium3"), ..with_disk(&bench, 1)? };
    let mut machine = bench.switch_on(&spec)?;
    let words = "needs a processor with 64 bits";
    findings.figure("processor: said on the screen", machine.wait_for(words, BOOT_LIMIT)?, "s");
    machine.wait_for(DISK, BOOT_LIMIT)?;
    machine.stop()?;
    bench.wait_for_log(words)?;
    // A script would run there, but for want of a network boot program, which Debian does not have.
    let script = bench.folder().join("any.ipxe");
    std::fs::write(&script, "#!ipxe\nexit 1\n")?;
    bench.ctl(&["images", "add", "any", &script.display().to_string()])?;
    bench.ctl(&["deployments", "add", "everybody", "--all", "--boot-image", "any", "--replace"])?;
    let found = bench.check()?;
    findings.check(found.contains("machines with uefi-ia32 cannot begin"), || {
        format!("check does not say what is missing: {found}")
    });
    let machine = bench.switch_on(&Spec::new(Firmware::Uefi32, 2))?;
    bench.wait_for_log("there is no network boot program for uefi-ia32")?;
    machine.stop()
}
