//! The table: firmware × who gives addresses, beside dnsmasq, and with packets lost.

use anyhow::Result;

use super::{NEEDS, Scenario};
use crate::lab::Lab;
use crate::lab::findings::Findings;
use crate::lab::firmware::{BOOT_LIMIT, Bench, Firmware, Mode, Spec};

/// Boots of each kind, of which the fastest counts: emulated firmware on a shared machine takes up to a third longer
/// now and then, and never less than it must. So there are more of them while ours has not shown what it can.
const ROUNDS: usize = 2;
const MOST_ROUNDS: usize = 5;
/// By how much ours may take longer than dnsmasq.
const SHARE: f64 = 0.1;
/// Share of packets lost each way.
const LOSS: f64 = 0.01;

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

/// A cell each, and the same cells with loss.
pub(in crate::lab::scenarios) const TABLE: [Scenario; 12] = boots! {
    "boot-bios-full" "boot-loss-bios-full" Bios Full,
    "boot-bios-proxy" "boot-loss-bios-proxy" Bios Proxy,
    "boot-uefi-full" "boot-loss-uefi-full" Uefi Full,
    "boot-uefi-proxy" "boot-loss-uefi-proxy" Uefi Proxy,
    "boot-http-full" "boot-loss-http-full" Http Full,
    "boot-http-proxy" "boot-loss-http-proxy" Http Proxy,
};

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
