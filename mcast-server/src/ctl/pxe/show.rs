//! What there is to see of the service point, as tables and sheets.

use pxe::machine::Mac;

use super::super::api::Api;
use super::super::error::{CtlError, CtlExit};
use super::super::figures::{NOTHING, clock, moment, size};
use super::super::out::Paper;
use super::super::table::{Column, Table};
use crate::serve::http::pxe::views::{
    BootCheckView, BootImageView, BootLeaseView, BootView, BootingView, ComputerView, DeploymentView, PxeView,
};

/// The service point at a glance.
pub(super) fn status(api: &Api, paper: &Paper) -> Result<(), CtlError> {
    let answer = api.get("api/v1/pxe")?;
    paper.show(&answer, || Ok(status_sheet(&api.parsed(&answer)?, paper)))
}

/// What holds for all machines.
pub(super) fn policy(api: &Api, paper: &Paper) -> Result<(), CtlError> {
    let answer = api.get("api/v1/pxe")?;
    paper.show(&answer, || Ok(policy_sheet(&api.parsed(&answer)?, paper)))
}

/// The machines that the site knows.
pub(super) fn computers(api: &Api, paper: &Paper) -> Result<(), CtlError> {
    let answer = api.get("api/v1/pxe/computers")?;
    paper.show(&answer, || Ok(computers_table(&api.parsed::<Vec<_>>(&answer)?, paper)))
}

/// What machines boot.
pub(super) fn deployments(api: &Api, paper: &Paper) -> Result<(), CtlError> {
    let answer = api.get("api/v1/pxe/deployments")?;
    paper.show(&answer, || Ok(deployments_table(&api.parsed::<Vec<_>>(&answer)?, paper)))
}

/// The boot images of the server.
pub(super) fn images(api: &Api, paper: &Paper) -> Result<(), CtlError> {
    let answer = api.get("api/v1/pxe/images")?;
    paper.show(&answer, || Ok(images_table(&api.parsed::<Vec<_>>(&answer)?, paper)))
}

/// The addresses that are leased.
pub(super) fn leases(api: &Api, paper: &Paper) -> Result<(), CtlError> {
    let answer = api.get("api/v1/pxe/leases")?;
    paper.show(&answer, || Ok(leases_table(&api.parsed::<Vec<_>>(&answer)?, paper)))
}

/// Who is booting now.
pub(super) fn machines(api: &Api, paper: &Paper) -> Result<(), CtlError> {
    let answer = api.get("api/v1/pxe/machines")?;
    paper.show(&answer, || Ok(machines_table(&api.parsed::<Vec<_>>(&answer)?, paper)))
}

/// What was asked and answered.
pub(super) fn log(api: &Api, paper: &Paper, limit: u32, mac: Option<Mac>, refused: bool) -> Result<(), CtlError> {
    let of = mac.map(|mac| format!("&mac={mac}")).unwrap_or_default();
    let answer = api.get(&format!("api/v1/pxe/log?limit={limit}&refused={refused}{of}"))?;
    paper.show(&answer, || Ok(log_table(&api.parsed::<Vec<_>>(&answer)?, paper)))
}

/// What is missing before anyone boots.
pub(super) fn check(api: &Api, paper: &Paper) -> Result<CtlExit, CtlError> {
    let answer = api.get("api/v1/pxe/check")?;
    let check: BootCheckView = api.parsed(&answer)?;
    paper.show(&answer, || Ok(check_lines(&check, paper)))?;
    Ok(if check.ready { CtlExit::Success } else { CtlExit::NotReady })
}

pub(super) fn policy_sheet(view: &PxeView, paper: &Paper) -> Vec<String> {
    Table::sheet(policy_rows(view)).lines(paper.width)
}

fn policy_rows(view: &PxeView) -> [(&'static str, String); 3] {
    let switch = |on: bool, words: &str| format!("{}: {words}", if on { "on" } else { "off" });
    let own = |here: Option<bool>, site: bool, setting: &str| match here {
        Some(here) if here != site => {
            format!("; this server {} by its own {setting}", if here { "does" } else { "does not" })
        }
        _ => String::new(),
    };
    let respond = if view.respond { "machines are answered" } else { "no machine is answered" };
    let unknown =
        if view.unknown { "machines that the site does not know, too" } else { "only machines that the site knows" };
    let password = if view.password { "asked for before anything boots" } else { "not asked for" };
    [
        ("respond", switch(view.respond, respond) + &own(view.respond_here, view.respond, "pxe.respond")),
        ("unknown", switch(view.unknown, unknown) + &own(view.unknown_here, view.unknown, "pxe.unknown")),
        ("password", switch(view.password, password)),
    ]
}

fn status_sheet(view: &PxeView, paper: &Paper) -> Vec<String> {
    let serves = match &view.mode {
        Some(mode) if view.enabled => format!("boots machines, in mode {mode}"),
        _ => "boots no machines (pxe.enabled); what follows holds for the site".to_owned(),
    };
    let mut rows = vec![("this server", serves)];
    for interface in &view.interfaces {
        rows.push(("interface", format!("{}, {}", interface.name, interface.addresses.join(", "))));
    }
    rows.extend(policy_rows(view));
    rows.push(("computers", view.computers.to_string()));
    rows.push(("deployments", view.deployments.to_string()));
    if view.enabled {
        rows.push(("boot images", view.images.to_string()));
    }
    rows.push(("leases", view.leases.to_string()));
    if view.enabled {
        rows.push(("booting", if view.booting == 0 { "nobody".to_owned() } else { view.booting.to_string() }));
    }
    Table::sheet(rows).lines(paper.width)
}

fn computers_table(computers: &[ComputerView], paper: &Paper) -> Vec<String> {
    let mut table = Table::new([
        Column::left("computer").cut(12),
        Column::left("cards").wrap(),
        Column::left("board").rank(2),
        Column::left("address").rank(1),
    ]);
    for computer in computers {
        table.row([
            computer.name.clone(),
            computer.macs.join(" "),
            computer.uuid.clone().unwrap_or_default(),
            computer.address.clone().unwrap_or_default(),
        ]);
    }
    or_none(&table, paper, "no computers: mcast-server ctl pxe computers add --help")
}

fn deployments_table(deployments: &[DeploymentView], paper: &Paper) -> Vec<String> {
    let mut table = Table::new([
        Column::left("deployment").cut(12),
        Column::left("for").cut(12),
        Column::left("boot image").cut(12),
        Column::left("image").cut(12).rank(1),
        Column::left("boots"),
        Column::left("until").rank(2),
        Column::right("done").rank(3),
    ]);
    for one in deployments {
        let until = one.until_ms.map(|ms| moment(ms, &paper.zone)).unwrap_or_default();
        table.row([
            one.name.clone(),
            target(&one.target),
            one.boot_image.clone(),
            one.image.clone().unwrap_or_default(),
            boots(one),
            if one.over { format!("{until}, over") } else { until },
            if one.once { one.done.len().to_string() } else { String::new() },
        ]);
    }
    or_none(&table, paper, "no deployments: mcast-server ctl pxe deployments add --help")
}

/// Whom it is for, in words.
fn target(target: &str) -> String {
    match target {
        "known" => "known computers".to_owned(),
        "unknown" => "unknown machines".to_owned(),
        "all" => "all machines".to_owned(),
        other => other.strip_prefix("computer:").unwrap_or(other).to_owned(),
    }
}

/// When it boots, in words.
fn boots(one: &DeploymentView) -> String {
    let when = match one.available_seconds {
        Some(seconds) => format!("by a key within {seconds} s"),
        None => "always".to_owned(),
    };
    match (one.once, one.available_seconds) {
        (false, _) => when,
        (true, None) => "once".to_owned(),
        (true, Some(_)) => format!("{when}, once"),
    }
}

fn images_table(images: &[BootImageView], paper: &Paper) -> Vec<String> {
    let mut table = Table::new([
        Column::left("boot image").cut(12),
        Column::right("size").rank(3),
        Column::left("for"),
        Column::left("boots"),
        Column::left("files").wrap().rank(2),
        Column::left("arguments").wrap().rank(1),
    ]);
    for image in images {
        for (at, program) in image.programs.iter().enumerate() {
            let first = |text: String| if at == 0 { text } else { String::new() };
            let bits = if program.needs_64_bit { ", 64 bits" } else { "" };
            table.row([
                first(image.name.clone()),
                first(size(image.bytes)),
                program.platform.clone(),
                format!("{}{bits}", program.kind),
                program.files.join(" "),
                program.arguments.clone(),
            ]);
        }
    }
    or_none(&table, paper, "no boot images: mcast-server ctl pxe images add --help")
}

fn leases_table(leases: &[BootLeaseView], paper: &Paper) -> Vec<String> {
    let mut table = Table::new([
        Column::left("address"),
        Column::left("card"),
        Column::left("computer").cut(12),
        Column::left("until"),
        Column::left("network").rank(2),
        Column::left("server").cut(8).rank(1),
    ]);
    for lease in leases {
        table.row([
            lease.address.clone(),
            lease.mac.clone(),
            lease.computer.clone().unwrap_or_default(),
            moment(lease.until_ms, &paper.zone),
            lease.network.clone(),
            lease.server.clone(),
        ]);
    }
    or_none(&table, paper, "no leases")
}

fn machines_table(machines: &[BootingView], paper: &Paper) -> Vec<String> {
    let mut table = Table::new([
        Column::left("machine").cut(12),
        Column::left("card").rank(3),
        Column::left("platform").rank(4),
        Column::left("address").rank(5),
        Column::left("stage"),
        Column::left("deployment").cut(10).rank(2),
        Column::left("since").rank(6),
        Column::left("last"),
        Column::left("said").wrap().rank(1),
    ]);
    for machine in machines {
        table.row([
            machine.computer.clone().unwrap_or_else(|| NOTHING.to_owned()),
            machine.mac.clone(),
            machine.platform.clone().unwrap_or_default(),
            machine.address.clone().unwrap_or_default(),
            stage(&machine.stage, machine.refused),
            machine.deployment.clone().unwrap_or_default(),
            clock(machine.since_ms, &paper.zone),
            clock(machine.ms, &paper.zone),
            machine.text.clone(),
        ]);
    }
    or_none(&table, paper, "nobody is booting")
}

fn log_table(log: &[BootView], paper: &Paper) -> Vec<String> {
    let mut table = Table::new([
        Column::left("time"),
        Column::left("machine").cut(12),
        Column::left("card"),
        Column::left("platform").rank(3),
        Column::left("address").rank(4),
        Column::left("server").cut(8).rank(5),
        Column::left("stage"),
        Column::left("deployment").cut(10).rank(2),
        Column::left("answer").wrap(),
    ]);
    for entry in log {
        table.row([
            moment(entry.ms, &paper.zone),
            entry.computer.clone().unwrap_or_else(|| NOTHING.to_owned()),
            entry.mac.clone(),
            entry.platform.clone().unwrap_or_default(),
            entry.address.clone().unwrap_or_default(),
            entry.server.clone(),
            stage(&entry.stage, entry.refused),
            entry.deployment.clone().unwrap_or_default(),
            entry.text.clone(),
        ]);
    }
    or_none(&table, paper, "nobody asked yet")
}

/// A refusal stands out.
fn stage(stage: &str, refused: bool) -> String {
    if refused { "REFUSED".to_owned() } else { stage.to_owned() }
}

fn check_lines(check: &BootCheckView, paper: &Paper) -> Vec<String> {
    let mut table = Table::new([Column::left("finding"), Column::left("what").wrap(), Column::left("do").wrap()]);
    for finding in &check.findings {
        table.row([finding.kind.clone(), finding.text.clone(), finding.help.clone().unwrap_or_default()]);
    }
    match check.ready {
        true if table.is_empty() => vec!["nothing is missing".to_owned()],
        _ => table.lines(paper.width),
    }
}

fn or_none(table: &Table, paper: &Paper, none: &str) -> Vec<String> {
    if table.is_empty() { vec![none.to_owned()] } else { table.lines(paper.width) }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::super::show::samples::{paper, text};
    use super::*;
    use crate::serve::http::pxe::views::{BootFindingView, BootProgramView, PxeInterfaceView};

    fn view() -> PxeView {
        PxeView {
            enabled: true,
            mode: Some("proxy".to_owned()),
            interfaces: vec![PxeInterfaceView {
                name: "eth1".to_owned(),
                addresses: vec!["10.0.0.5".to_owned(), "10.0.1.5".to_owned()],
            }],
            respond: true,
            respond_here: Some(true),
            unknown: false,
            unknown_here: Some(false),
            password: true,
            computers: 17,
            deployments: 2,
            images: 1,
            leases: 0,
            booting: 3,
        }
    }

    fn deployment(name: &str, target: &str) -> DeploymentView {
        DeploymentView {
            name: name.to_owned(),
            target: target.to_owned(),
            boot_image: "rescue".to_owned(),
            image: Some("win11.wim".to_owned()),
            available_seconds: None,
            once: true,
            until_ms: None,
            over: false,
            done: vec!["52:54:00:12:34:56".to_owned()],
        }
    }

    fn entry(refused: bool, words: &str) -> BootView {
        BootView {
            id: 1,
            ms: 1_790_000_000_000,
            server: "dp1".to_owned(),
            mac: "52:54:00:12:34:56".to_owned(),
            uuid: None,
            computer: (!refused).then(|| "pc-17".to_owned()),
            platform: Some("uefi-x64".to_owned()),
            address: None,
            stage: "dhcp".to_owned(),
            deployment: None,
            text: words.to_owned(),
            refused,
        }
    }

    #[test]
    fn the_service_point_is_seen_at_a_glance() {
        expect![[r#"
            this server  boots machines, in mode proxy
            interface    eth1, 10.0.0.5, 10.0.1.5
            respond      on: machines are answered
            unknown      off: only machines that the site knows
            password     on: asked for before anything boots
            computers    17
            deployments  2
            boot images  1
            leases       0
            booting      3
        "#]]
        .assert_eq(&text(&status_sheet(&view(), &paper(Some(79)))));
        let other = PxeView {
            enabled: false,
            mode: None,
            interfaces: Vec::new(),
            respond: false,
            respond_here: None,
            unknown_here: None,
            ..view()
        };
        let own = PxeView { unknown_here: Some(true), ..view() };
        let lines = text(&policy_sheet(&own, &paper(None)));
        assert!(lines.contains("that the site knows; this server does by its own pxe.unknown"), "{lines}");
        let lines = text(&status_sheet(&other, &paper(None)));
        assert!(lines.contains("boots no machines (pxe.enabled)"), "{lines}");
        assert!(lines.contains("off: no machine is answered") && !lines.contains("boot images"), "{lines}");
    }

    #[test]
    fn deployments_say_for_whom_when_and_on_how_many_they_are_done() {
        let offered = DeploymentView { available_seconds: Some(10), once: false, ..deployment("rescue", "known") };
        let over = DeploymentView {
            until_ms: Some(1_790_000_000_000),
            over: true,
            image: None,
            ..deployment("inventory", "unknown")
        };
        expect![[r#"
            deployment  for               boot image  image      boots                 until                      done
            install     pc-17             rescue      win11.wim  once                                                1
            rescue      known computers   rescue      win11.wim  by a key within 10 s
            inventory   unknown machines  rescue                 once                  2026-09-21 14:13:20, over     1
        "#]]
        .assert_eq(&text(&deployments_table(&[deployment("install", "computer:pc-17"), offered, over], &paper(None))));
    }

    #[test]
    fn refusals_stand_out_in_the_log() {
        let log = [
            entry(true, "this machine is not known to the site, and unknown ones are not answered"),
            entry(false, "offered"),
        ];
        expect![[r#"
            time                 machine  card               platform  stage    answer
            2026-09-21 14:13:20  -        52:54:00:12:34:56  uefi-x64  REFUSED  this machine is not
                                                                                known to the site, and
                                                                                unknown ones are not
                                                                                answered
            2026-09-21 14:13:20  pc-17    52:54:00:12:34:56  uefi-x64  dhcp     offered
        "#]]
        .assert_eq(&text(&log_table(&log, &paper(Some(92)))));
        assert_eq!(log_table(&[], &paper(None)), ["nobody asked yet"]);
    }

    #[test]
    fn boot_images_tell_what_they_are_and_for_whom() {
        let program = |platform: &str| BootProgramView {
            platform: platform.to_owned(),
            kind: "kernel".to_owned(),
            needs_64_bit: true,
            files: vec!["vmlinuz".to_owned(), "initrd.img".to_owned()],
            arguments: "console=ttyS0".to_owned(),
        };
        let image = BootImageView {
            name: "rescue".to_owned(),
            programs: vec![program("bios"), program("uefi-x64")],
            bytes: 18 << 20,
        };
        expect![[r#"
            boot image       size  for       boots            files               arguments
            rescue      18.00 MiB  bios      kernel, 64 bits  vmlinuz initrd.img  console=ttyS0
                                   uefi-x64  kernel, 64 bits  vmlinuz initrd.img  console=ttyS0
        "#]]
        .assert_eq(&text(&images_table(&[image], &paper(None))));
    }

    #[test]
    fn what_is_missing_comes_with_what_to_do() {
        let finding = BootFindingView {
            kind: "missing".to_owned(),
            text: "deployment install names the boot image rescue, which this server does not have".to_owned(),
            help: Some("mcast-server ctl pxe images add rescue FILE…".to_owned()),
        };
        let check = BootCheckView { ready: false, findings: vec![finding] };
        expect![[r#"
            finding  what                                do
            missing  deployment install names the boot   mcast-server ctl pxe images add
                     image rescue, which this server     rescue FILE…
                     does not have
        "#]]
        .assert_eq(&text(&check_lines(&check, &paper(Some(79)))));
        let fine = BootCheckView { ready: true, findings: Vec::new() };
        assert_eq!(check_lines(&fine, &paper(None)), ["nothing is missing"]);
    }
}
