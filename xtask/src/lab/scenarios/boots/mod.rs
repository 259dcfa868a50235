//! Bare machines with real firmware boot from our service point.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{Need, Scenario};
use crate::lab::firmware::{Bench, Firmware, Spec};
use crate::lab::tools::STATIC_BUSYBOX;

pub(super) mod answers;
pub(super) mod deployments;
pub(super) mod programs;
pub(super) mod table;

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

/// What the disk's boot sector prints.
const DISK: &str = "LAB-DISK";
/// The next entry of OVMF's boot order, behind what these machines boot by.
const NEXT_ENTRY: &str = "Start PXE over IPv6";

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
