//! `mcast-server plan`: what a session would cost, from a simulation of it.

mod forecast;

use std::sync::atomic::Ordering;
use std::time::Duration;

use command_line::Interrupt;
use multicast_core::layout::{DEFAULT_SYMBOL_SIZE, FileEntry, Geometry, Layout};
use multicast_core::sender::StartPolicy;
use multicast_core::sim::{Crowd, CrowdConfig, Member};

use self::forecast::Forecast;
use crate::cli::PlanArguments;
use crate::exit::{Exit, Failure};
use crate::view::json;

/// Blocks times clients that are simulated, which takes some seconds; of a larger image a part is, and
/// the rest is concluded from it.
const WORK_LIMIT: u64 = 20_000_000;
/// Though not less than this, or the end of the session would weigh too much.
const LEAST_BLOCKS: u64 = 200;
/// The same plan gives the same figures.
const SEED: u64 = 1;

/// Simulates the session and prints what it came to.
pub(crate) fn run(arguments: &PlanArguments, interrupt: &Interrupt) -> Result<Exit, Failure> {
    check(arguments)?;
    let whole = config(arguments, arguments.size, 1.0)?;
    let simulated = part_to_simulate(arguments, &whole);
    let scale = arguments.size as f64 / simulated as f64;
    let part = config(arguments, simulated, scale)?;
    let figures = Crowd::new(part.clone()).run_while(|| !interrupt.flag().load(Ordering::Relaxed));
    if interrupt.flag().load(Ordering::Relaxed) {
        return Err(Failure::cancelled());
    }
    if !figures.all_complete() {
        let text = format!("the session would not end within {} days", part.time_limit.as_secs() / 86_400);
        return Err(Failure::new(Exit::Error, text).with_help(Some("raise the rate, or take a smaller image")));
    }
    let forecast = Forecast::new(&whole, &part, &figures);
    match arguments.json {
        true => json::print(&forecast),
        false => println!("{forecast}"),
    }
    Ok(Exit::Success)
}

/// What only shows in several arguments together.
fn check(arguments: &PlanArguments) -> Result<(), Failure> {
    let usage = |text: String, help: &str| Err(Failure::new(Exit::Usage, text).with_help(Some(help)));
    let clients = arguments.clients;
    if arguments.late >= clients {
        let text = format!("--late {} leaves none of {clients} clients to begin with", arguments.late);
        return usage(text, "at least one client must be there from the start");
    }
    let apart: u64 = arguments.client_loss.iter().map(|group| u64::from(group.clients)).sum();
    if apart > clients.into() {
        let text = format!("--client-loss names {apart} clients, there are {clients}");
        return usage(text, "these are clients of --clients");
    }
    Ok(())
}

/// Bytes of the image that are simulated.
fn part_to_simulate(arguments: &PlanArguments, whole: &CrowdConfig) -> u64 {
    let blocks = (WORK_LIMIT / u64::from(arguments.clients)).max(LEAST_BLOCKS);
    arguments.size.min(blocks * u64::from(whole.layout.geometry().block_size()))
}

/// The session of an image of `size` bytes, in which everything happens `scale` times sooner.
fn config(arguments: &PlanArguments, size: u64, scale: f64) -> Result<CrowdConfig, Failure> {
    let geometry = Geometry::for_size(arguments.size, DEFAULT_SYMBOL_SIZE);
    let layout = Layout::new(geometry, vec![FileEntry { name: "image".into(), size }])?;
    let rate = arguments.rate.unwrap_or(arguments.network.rate());
    let present = arguments.clients - arguments.late;
    let mut config = CrowdConfig {
        delay: arguments.delay,
        rate,
        start: StartPolicy { clients: Some(present), ..StartPolicy::default() },
        ..CrowdConfig::new(SEED, layout, arguments.clients, arguments.loss)
    };
    let apart = arguments.client_loss.iter().flat_map(|group| std::iter::repeat_n(group.loss, group.clients as usize));
    config.members.iter_mut().zip(apart).for_each(|(member, loss)| member.loss = loss);
    let over = arguments.late_over.map_or_else(|| config.image_time(), |over| over.div_f64(scale));
    spread(&mut config.members[present as usize..], over);
    Ok(config)
}

/// Lets `late` clients be switched on at even distances, the last one at the end of `over`: rather later
/// than chance would.
fn spread(late: &mut [Member], over: Duration) {
    let count = late.len() as f64;
    for (number, member) in late.iter_mut().enumerate() {
        member.joins = over.mul_f64((number as f64 + 1.0) / count);
    }
}
