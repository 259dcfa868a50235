//! What goes on beside requests: wishes of the gate, looks at the sessions, commands of other servers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use command_line::chain;
use crossbeam_channel::Receiver;
use multicast_core::sender::SenderEvent;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use tracing::{debug, info, warn};

use super::content::{Image, ImageState};
use super::gate::Wish;
use super::opening;
use super::point::{Command, News, Point};
use super::views::use_word;
use crate::config::MulticastUse;
use crate::site::ImageRow;
use crate::view::narrator::Narrator;

/// Between two looks at the sessions.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Looks after which the site is told.
const RECORD_LOOKS: u32 = 4;
/// Between two questions how other servers stand and whether they want something.
const SITE_INTERVAL: Duration = Duration::from_secs(1);
/// Between two refusals that are told of.
const REFUSAL_INTERVAL: Duration = Duration::from_secs(1);
/// How long history is kept, and how often it is looked through.
const HISTORY_DAYS: u32 = 365;
const PRUNE_INTERVAL: Duration = Duration::from_secs(3600);

/// Fulfils what the gate wishes for, at once.
pub(crate) async fn fulfil(point: Arc<Point>, mut wishes: mpsc::UnboundedReceiver<Wish>) {
    while let Some(wish) = wishes.recv().await {
        match wish {
            Wish::Session(image) => {
                let point = point.clone();
                tokio::task::spawn_blocking(move || opening::open(&point, &image));
            }
            Wish::FreePlace { image, client } => {
                point.recorder.free_ticket(&image, &client.to_string());
            }
        }
    }
}

/// Logs whom the engine refuses for good, until it ends; of a flood one a second. Blocks.
pub(crate) fn tell_refusals(refusals: &Receiver<SenderEvent>) {
    let (mut narrator, mut told, mut untold) = (Narrator::default(), None::<Instant>, 0_u32);
    for event in refusals {
        if told.is_some_and(|told| told.elapsed() < REFUSAL_INTERVAL) {
            untold = untold.saturating_add(1);
        } else if let Some(text) = narrator.tell(&event) {
            match std::mem::take(&mut untold) {
                0 => warn!("{text}"),
                more => warn!(more, "{text}"),
            }
            told = Some(Instant::now());
        }
    }
}

/// Looks at the sessions now and then, until `stop` says true.
pub(crate) async fn look(point: Arc<Point>, mut stop: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0_u32.. {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stop.wait_for(|stops| *stops) => return,
        }
        let looking = point.clone();
        // A session's thread answers between two batches.
        let looked = tokio::task::spawn_blocking(move || {
            let now = Instant::now();
            let linger = looking.settings().session.linger;
            for running in looking.sessions.all() {
                running.look(now);
                // Of an image that has changed or gone nobody else is to get the last version.
                let linger = if looking.is_current(&running) { linger } else { Duration::ZERO };
                if running.resting_since().is_some_and(|since| now.duration_since(since) >= linger) {
                    running.control.close();
                }
                if number.is_multiple_of(RECORD_LOOKS) {
                    opening::record(&looking, &running, None);
                }
            }
            looking.gate.tidy(now);
            looking.unicasts.tidy(now);
        });
        if looked.await.is_err() {
            warn!("a look at the sessions failed");
        }
        if point.is_watched() && number.is_multiple_of(2) {
            point.tell(point.standing());
        }
    }
}

/// Has the site and whoever listens know the images, and takes up sessions of the last start when their
/// images are ready.
pub(crate) async fn follow_content(point: Arc<Point>, mut stop: watch::Receiver<bool>) {
    let mut changes = point.catalogue.changes();
    loop {
        let images = point.catalogue.all();
        point.recorder.images(images.iter().map(|image| image_row(image)).collect());
        take_up(&point, &images);
        point.tell(News::Images { images: point.images() });
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            _ = stop.wait_for(|stops| *stops) => return,
        }
    }
}

/// Opens sessions in the place of those of the last start.
fn take_up(point: &Arc<Point>, images: &[Arc<Image>]) {
    let enabled = point.settings().multicast.enabled;
    let goes_out = |image: &Image| enabled && image.multicast != MulticastUse::Never;
    if point.catalogue.is_complete() {
        let served = |name: &str| images.iter().any(|image| image.name == name && goes_out(image));
        point.resumable.keep(served, &point.recorder);
    }
    for image in images {
        let ready = matches!(image.state, ImageState::Ready(_)) && goes_out(image);
        if ready && point.resumable.started(&image.name).is_some() && point.gate.session_opens(&image.name) {
            let (point, name) = (point.clone(), image.name.clone());
            tokio::task::spawn_blocking(move || opening::open(&point, &name));
        }
    }
}

fn image_row(image: &Image) -> ImageRow {
    let ready = if let ImageState::Ready(ready) = &image.state { Some(ready) } else { None };
    ImageRow {
        name: image.name.clone(),
        version: image.version.clone().unwrap_or_default(),
        bytes: ready.map_or(0, |ready| ready.bytes()),
        multicast: use_word(image.multicast).to_owned(),
        state: image.state.word().to_owned(),
        root: ready.map(|ready| ready.root()).unwrap_or_default(),
    }
}

/// What one server wants of another's session.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    Session { id: String, command: Command, by: String },
    Remove { id: String, client: String, by: String },
}

impl Order {
    /// Carries it out here.
    pub(crate) fn carry_out(&self, point: &Point) -> Result<(), super::point::CommandError> {
        match self {
            Self::Session { id, command, by } => point.command(id, *command, by),
            Self::Remove { id, client, by } => point.remove(id, client, by),
        }
    }
}

/// Sees the sessions of other servers of the site, and carries out what operators there want, until `stop` says
/// true.
pub(crate) async fn follow_site(point: Arc<Point>, mut stop: watch::Receiver<bool>) {
    let mut pruned = Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(SITE_INTERVAL) => {}
            _ = stop.wait_for(|stops| *stops) => return,
        }
        // The recorder tells when the database is out of reach.
        if let Err(error) = point.look_at_others().await {
            debug!("{}", chain(&error));
        }
        for text in point.site.take_commands(&point.server).await.unwrap_or_default() {
            match serde_json::from_str::<Order>(&text) {
                Ok(order) => {
                    if let Err(error) = order.carry_out(&point) {
                        info!("an order of another server is not carried out: {error}");
                    }
                }
                Err(error) => warn!("an order of another server cannot be read: {error}"),
            }
        }
        if pruned.elapsed() >= PRUNE_INTERVAL {
            pruned = Instant::now();
            match point.site.prune(HISTORY_DAYS).await {
                Ok(0) | Err(_) => {}
                Ok(rows) => info!(rows, "history older than {HISTORY_DAYS} days is removed"),
            }
        }
    }
}
