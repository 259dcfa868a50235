//! Clients that do not keep up, hear nothing, or are not to be waited for.

use std::time::Duration;

use anyhow::Result;

use super::{Need, Scenario};
use crate::lab::Lab;
use crate::lab::findings::Findings;
use crate::lab::run::{CAPPED_RATE, Room, Setup};
use crate::{events, process};

pub(super) const SCENARIOS: [Scenario; 6] = [
    Scenario {
        name: "client-half",
        claim: "a client whose port carries half the rate gets the image, and costs the others at most 5 % of a clean run's time and 0.3 s",
        needs: &SPACE,
        run: half_port,
    },
    Scenario {
        name: "client-tenth",
        claim: "a client behind 20 of 190 Mbit/s costs the others at most 5 % and 0.3 s, ends by unicast, and takes at most 1.25 times what its port does",
        needs: &SPACE,
        run: tenth_port,
    },
    Scenario {
        name: "slow-stream",
        claim: "with --slow-stream 5% such a client goes on with a stream of its own pace, and costs the others at most that and 0.3 s",
        needs: &SPACE,
        run: slow_stream,
    },
    Scenario {
        name: "client-deaf",
        claim: "a client that no group reaches gets the image by unicast, and says why",
        needs: &SPACE,
        run: deaf,
    },
    Scenario {
        name: "client-evicted",
        claim: "a client below --min-client-rate is evicted and told why; the server ends with 3 and names it",
        needs: &SPACE,
        run: evicted,
    },
    Scenario {
        name: "ports-ten",
        claim: "ten clients behind 5 to 49 of 48 Mbit/s are done in at most 1.3 times what their ports take, each in 1.75",
        needs: &SPACE,
        run: ten_ports,
    },
];

const SPACE: [Need; 1] = [Need::Space(2 << 30)];
const VICTIM: usize = 3;
const OTHERS: fn(usize) -> bool = |i| i != VICTIM;

/// One client behind a port; the others' time beside the same room without that, and the moves.
fn one_port(lab: &Lab, findings: &mut Findings, setup: &Setup, mbit: u64, most: f64) -> Result<Vec<String>> {
    let mut clean = Room::open(lab, setup)?;
    clean.start(0..setup.clients)?;
    clean.finish()?;
    let clean_time = clean.time_of(|_| true)?.as_secs_f64();
    drop(clean);
    let mut room = Room::open(lab, setup)?;
    room.net().cap_receiver(VICTIM, &format!("{mbit}mbit"))?;
    room.start(0..setup.clients)?;
    room.finish()?;
    findings.slower_by("the seven", room.time_of(OTHERS)?.as_secs_f64(), clean_time, 0.05);
    let port = setup.at(mbit).as_secs_f64();
    findings.at_most("the slow one by its port's time", room.time_of(|i| i == VICTIM)?.as_secs_f64() / port, "", most);
    findings.figure("wire/image", room.wire_ratio()?, "");
    room.add_figures(findings)?;
    Ok(events::moves(&room.server()?.events()).into_iter().map(str::to_owned).collect())
}

fn half_port(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let setup = Setup { bytes: 64 << 20, rate: CAPPED_RATE / 2, ..Setup::standard() };
    one_port(lab, findings, &setup, 50, 1.4).map(drop)
}

fn tenth_port(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let setup = Setup { bytes: 64 << 20, server: &["--slow-after", "1s"], ..Setup::standard() };
    let moves = one_port(lab, findings, &setup, 20, 1.25)?;
    findings.check(moves == ["unicast"], || format!("it was moved to {moves:?}, not to unicast"));
    Ok(())
}

fn slow_stream(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let server = &["--slow-after", "1s", "--slow-stream", "5%", "--unicast", "0"];
    let setup = Setup { bytes: 64 << 20, server, ..Setup::standard() };
    let moves = one_port(lab, findings, &setup, 20, 1.5)?;
    findings.check(moves == ["slower"], || format!("it was moved to {moves:?}, not to the slower stream"));
    Ok(())
}

fn deaf(lab: &Lab, findings: &mut Findings) -> Result<()> {
    // It is found deaf 5 s after its join: the others are not to be done before.
    let setup = Setup { min_clients: 7, ..Setup::standard() };
    let mut room = Room::open(lab, &setup)?;
    room.net().deafen(VICTIM)?;
    room.start(0..setup.clients)?;
    room.finish()?;
    findings.figure("the seven", room.time_of(OTHERS)?.as_secs_f64(), "s");
    findings.figure("wall", room.time_of(|_| true)?.as_secs_f64(), "s");
    let told = room.client(VICTIM)?.events();
    let told = told.iter().find(|event| event["event"] == "moved").and_then(|event| event["text"].as_str());
    findings.check(told.is_some_and(|text| text.contains("does not hear the group")), || format!("it says {told:?}"));
    let moves = events::moves(&room.server()?.events()).len();
    findings.check(moves == 1, || format!("{moves} clients were moved"));
    room.add_figures(findings)
}

fn evicted(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let setup = Setup { server: &["--min-client-rate", "40mbit"], ..Setup::standard() };
    let mut room = Room::open(lab, &setup)?;
    // At this rate it would take two minutes.
    room.net().cap_receiver(VICTIM, "10mbit")?;
    room.start(0..setup.clients)?;
    room.wait_for_clients(OTHERS)?;
    room.check_copies(OTHERS)?;
    process::wait_for([room.client(VICTIM)?], Duration::from_secs(60))?;
    let complaint = room.client(VICTIM)?.complaint().to_string();
    findings.check(complaint.contains("less than 40mbit"), || format!("the client does not say why: {complaint}"));
    findings.figure("evicted after", room.time_of(|i| i == VICTIM)?.as_secs_f64(), "s");
    room.wait_for_server_to_give_up(findings)?;
    room.add_figures(findings)
}

fn ten_ports(lab: &Lab, findings: &mut Findings) -> Result<()> {
    const PORTS: [u64; 10] = [41, 9, 22, 5, 30, 14, 49, 7, 18, 35];
    // Ten ports shaped at the usual rates are more than two cores carry.
    let rate = CAPPED_RATE / 4;
    let setup = Setup { clients: 10, min_clients: 10, bytes: 16 << 20, rate, ..Setup::standard() };
    let mut room = Room::open(lab, &setup)?;
    for (i, mbit) in PORTS.iter().enumerate() {
        room.net().cap_receiver(i, &format!("{mbit}mbit"))?;
    }
    room.start(0..setup.clients)?;
    room.finish()?;
    let (mut worst, mut sum) = (0.0_f64, 0.0);
    for (i, mbit) in PORTS.iter().enumerate() {
        let ratio = room.time_of(|other| other == i)?.as_secs_f64() / setup.at(*mbit).as_secs_f64();
        worst = worst.max(ratio);
        sum += ratio;
    }
    // Who still wants a few symbols when the blocks of many are sent waits for its turn, by chance.
    findings.at_most("the worst by its port's time", worst, "", 1.75);
    findings.at_most("mean by the port's time", sum / PORTS.len() as f64, "", 1.3);
    findings.figure("wall", room.time_of(|_| true)?.as_secs_f64(), "s");
    findings.figure("wire/image", room.wire_ratio()?, "");
    room.add_figures(findings)
}
