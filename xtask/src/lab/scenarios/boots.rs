//! Bare machines with real firmware boot from the network.

use anyhow::Result;

use super::{Need, Scenario};
use crate::lab::Lab;
use crate::lab::findings::Findings;
use crate::lab::firmware::{Bench, Firmware, Mode, Spec};

const NEEDS: &[Need] = &[
    Need::Program("qemu-system-x86_64"),
    Need::Program("dnsmasq"),
    Need::Program("busybox"),
    Need::Program("cpio"),
    Need::Program("/usr/share/OVMF/OVMF_CODE_4M.fd"),
    Need::Program("/usr/lib/ipxe/snponly.efi"),
    Need::Architecture("x86_64"),
    Need::Space(2 << 30),
];

pub(super) const SCENARIOS: [Scenario; 1] =
    [Scenario { name: "boot-reference", claim: "dnsmasq boots", needs: NEEDS, run: reference }];

fn reference(lab: &Lab, findings: &mut Findings) -> Result<()> {
    for (firmware, mode) in [
        (Firmware::Bios, Mode::Full),
        (Firmware::Bios, Mode::Proxy),
        (Firmware::Uefi, Mode::Full),
        (Firmware::Uefi, Mode::Proxy),
        (Firmware::Http, Mode::Full),
    ] {
        let mut bench = Bench::open(lab, mode)?;
        bench.start_dnsmasq(mode, firmware)?;
        let took = bench.boot(&Spec::new(firmware, 1), crate::lab::firmware::BOOT_LIMIT)?;
        findings.figure(format!("{} {}", firmware.name(), mode.name()), took, "s");
    }
    Ok(())
}
