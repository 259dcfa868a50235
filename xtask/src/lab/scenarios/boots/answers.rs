//! Who is answered, where, by whom, and what is said to the others.

use anyhow::Result;

use super::{DISK, NEEDS, Scenario, with_disk};
use crate::files;
use crate::lab::Lab;
use crate::lab::findings::Findings;
use crate::lab::firmware::{BOOT_LIMIT, Bench, Firmware, MARKER, Mode, OURS, Spec};

const PASSWORD: &str = "open-sesame";

pub(in crate::lab::scenarios) const SCENARIOS: [Scenario; 7] = [
    Scenario {
        name: "boot-unknown",
        claim: "a machine that the site does not know is refused, and says so in the log; answered, it boots",
        needs: NEEDS,
        run: unknown,
    },
    Scenario {
        name: "boot-password",
        claim: "the password is asked at the machine: wrong ones are counted, after three it starts from its disk, the right one boots",
        needs: NEEDS,
        run: password,
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
        name: "boot-relay",
        claim: "a machine behind a router boots through its relay agent, which marks what it passes on (option 82)",
        needs: NEEDS,
        run: relay,
    },
    Scenario {
        name: "boot-menu",
        claim: "the firmware's own menu shows what it was told to, boots when its time is over, and leaves the network on demand",
        needs: NEEDS,
        run: menu,
    },
];

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

fn relay(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let mut bench = Bench::open(lab, Mode::Full)?;
    bench.start_relay_agent()?;
    let here = "[[pxe.network]]\nnetwork = \"10.77.0.0/16\"\npool = \"10.77.1.10-10.77.1.250\"\n";
    let there =
        "[[pxe.network]]\nnetwork = \"10.79.0.0/16\"\npool = \"10.79.1.10-10.79.1.250\"\nrouter = \"10.79.0.1\"\n";
    bench.start_ours_with_marker(Mode::Full, &format!("interfaces = [\"eth0\"]\n{here}{there}"))?;
    for (firmware, name) in [(Firmware::Bios, "bios"), (Firmware::Uefi, "uefi"), (Firmware::Http, "http")] {
        let spec = Spec { behind_router: true, ..Spec::new(firmware, 1 + firmware as u8) };
        findings.figure(name, bench.boot(&spec, BOOT_LIMIT)?, "s");
    }
    let leases = bench.ctl(&["leases", "list"])?;
    findings.check(leases.matches("10.79.1.").count() == 3, || format!("not three leases there: {leases}"));
    Ok(())
}

fn menu(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let mut bench = Bench::open(lab, Mode::Full)?;
    let menu = "[pxe.menu]\nprompt = \"Lab: press F8\"\nwait = \"5s\"\nboot = \"Lab network\"\ndisk = \"Lab disk\"";
    bench.start_ours_with_marker(Mode::Full, menu)?;
    let spec = Spec::new(Firmware::Uefi, 1);
    let mut machine = bench.switch_on(&spec)?;
    machine.wait_for("Lab: press F8", BOOT_LIMIT)?;
    findings.figure("time is over", machine.wait_for(MARKER, BOOT_LIMIT)?, "s");
    machine.stop()?;
    let mut machine = bench.switch_on(&spec)?;
    machine.wait_for("Lab: press F8", BOOT_LIMIT)?;
    // F8 is another sequence on each kind of terminal; OVMF takes letters, too.
    machine.type_in("m")?;
    machine.wait_for("Lab disk", BOOT_LIMIT)?;
    machine.type_in("d\r")?;
    let away = machine.wait_for("failed to load Boot0001 \"UEFI PXEv4", BOOT_LIMIT)?;
    findings.figure("its second item: away from here", away, "s");
    machine.stop()
}
